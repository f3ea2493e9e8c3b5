# SPDX-License-Identifier: MIT
# engine/: libmembox_engine.a, which libmembox and the tests contain. QEMU compiles the same files.

CFLAGS_engine := -D_GNU_SOURCE

engine_obj := $(patsubst %.c,$(B)/obj/%.o,$(wildcard engine/*.c))

LIBS += $(B)/lib/libmembox_engine.a

$(B)/lib/libmembox_engine.a: $(engine_obj)
	$(Q)mkdir -p $(@D)
	$(say) AR $@
	$(Q)rm -f $@
	$(Q)ar rcs $@ $(engine_obj)
