# SPDX-License-Identifier: MIT
# userlib/: libmembox (core, training layer, and the engine inside), memboxctl, manual pages.

CFLAGS_userlib := -D_GNU_SOURCE -Iuserlib/include -Iengine

LIBMEMBOX_VERSION := 1.0.0
libmembox_so := $(B)/lib/libmembox.so.$(LIBMEMBOX_VERSION)
libmembox_obj := $(patsubst %.c,$(B)/obj/%.o,$(wildcard userlib/core/*.c userlib/train/*.c))
memboxctl_obj := $(patsubst %.c,$(B)/obj/%.o,$(wildcard userlib/memboxctl/*.c))

LIBS += $(B)/lib/libmembox.so $(B)/lib/libmembox.a $(B)/lib/pkgconfig/membox.pc
PROGRAMS += $(if $(SAN),,$(B)/bin/memboxctl)

# Of the library's tests, those that tests/vm/library.py runs on a device too.
PROGRAMS += $(if $(SAN),,$(addprefix $(B)/tests/,lib_ops lib_chan lib_sync lib_procs))

# The engine's names stay inside, in both libraries.
$(B)/lib/libmembox.a: $(libmembox_obj) $(B)/lib/libmembox_engine.a
	$(Q)mkdir -p $(@D)
	$(say) AR $@
	$(Q)$(CC) -r -nostdlib -o $(B)/obj/userlib/membox.o $(libmembox_obj) \
		-Wl,--whole-archive $(B)/lib/libmembox_engine.a -Wl,--no-whole-archive
	$(Q)objcopy --wildcard --keep-global-symbol='membox_*' $(B)/obj/userlib/membox.o
	$(Q)rm -f $@
	$(Q)ar rcs $@ $(B)/obj/userlib/membox.o

$(libmembox_so): $(libmembox_obj) $(B)/lib/libmembox_engine.a userlib/libmembox.map
	$(Q)mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,libmembox.so.1 $(if $(SAN),,-Wl,-z,defs) \
		-Wl,--version-script,userlib/libmembox.map -o $@ $(libmembox_obj) \
		$(B)/lib/libmembox_engine.a -lm -lpthread

$(B)/lib/libmembox.so: $(libmembox_so)
	$(Q)ln -sf $(notdir $<) $(B)/lib/libmembox.so.1
	$(Q)ln -sf libmembox.so.1 $@

# As it is in the build directory; `make install` writes one for PREFIX.
membox_pc = sed -e 's|@prefix@|$(1)|' -e 's|@includedir@|$(2)|' -e 's|@libdir@|$(3)|' \
	-e 's|@version@|$(LIBMEMBOX_VERSION)|' userlib/membox.pc.in
$(B)/lib/pkgconfig/membox.pc: userlib/membox.pc.in
	$(Q)mkdir -p $(@D)
	$(Q)$(call membox_pc,$(CURDIR),$(CURDIR)/userlib/include,$(abspath $(B))/lib) > $@

$(B)/bin/memboxctl: $(memboxctl_obj) $(B)/lib/libmembox.a
	$(Q)mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lpci -ljson-c -lm -lpthread

# Manual pages: from the comments of the headers, and from what memboxctl says of itself.
$(B)/man/made: userlib/man/mkman.py $(B)/bin/memboxctl $(wildcard userlib/include/membox/*.h)
	$(say) MAN $(@D)
	$(Q)rm -rf $(@D)
	$(Q)userlib/man/mkman.py $(@D) $(B)/bin/memboxctl $(wildcard userlib/include/membox/*.h)
	$(Q)touch $@

.PHONY: install-lib
install:: install-lib
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
install-lib: $(LIBS) $(B)/bin/memboxctl $(B)/man/made
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/membox/uapi \
		$(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man3
	install -m 644 $(B)/lib/libmembox.a $(DESTDIR)$(LIBDIR)
	install -m 755 $(libmembox_so) $(DESTDIR)$(LIBDIR)
	ln -sf $(notdir $(libmembox_so)) $(DESTDIR)$(LIBDIR)/libmembox.so.1
	ln -sf libmembox.so.1 $(DESTDIR)$(LIBDIR)/libmembox.so
	$(call membox_pc,$(PREFIX),$(INCLUDEDIR),$(LIBDIR)) > $(DESTDIR)$(LIBDIR)/pkgconfig/membox.pc
	install -m 644 userlib/include/membox/*.h $(DESTDIR)$(INCLUDEDIR)/membox
	install -m 644 uapi/membox.h uapi/membox_hw.h $(DESTDIR)$(INCLUDEDIR)/membox/uapi
	install -m 755 $(B)/bin/memboxctl $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(B)/man/*.1 $(DESTDIR)$(MANDIR)/man1
	install -m 644 $(B)/man/*.3 $(DESTDIR)$(MANDIR)/man3
