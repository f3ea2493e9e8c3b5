# SPDX-License-Identifier: MIT
# examples/: trainers that link only the installed library: it is installed below $(B)/stage, and
# pkg-config names it there. The programs are static and for plain SSE2, so that one and the same
# file runs on the host and in every guest: that is what "equal bit for bit" is about.

stage := $(B)/stage
stage_prefix := /opt/membox
stage_pc = $(shell PKG_CONFIG_SYSROOT_DIR='$(abspath $(stage))' \
	PKG_CONFIG_LIBDIR='$(stage)$(stage_prefix)/lib/pkgconfig' pkg-config --static $(1) membox)
CFLAGS_examples = -D_GNU_SOURCE -O3 -fno-math-errno $(call stage_pc,--cflags)

example_obj = $(patsubst %,$(B)/obj/examples/%.o,$(1))
examples := $(B)/bin/mnist $(B)/bin/ten $(B)/bin/raw $(B)/bin/uring
PROGRAMS += $(if $(SAN),,$(examples))
.PHONY: examples
examples: $(examples)

$(stage)/installed: $(LIBS) $(wildcard userlib/include/membox/*.h uapi/*.h)
	$(Q)$(MAKE) install-lib DESTDIR='$(abspath $(stage))' PREFIX=$(stage_prefix) >/dev/null
	$(Q)touch $@

$(B)/bin/mnist: $(call example_obj,mnist args run local report data mlp fmath)
$(B)/bin/ten: $(call example_obj,ten)
$(B)/bin/raw: $(call example_obj,raw)
$(B)/bin/uring: $(call example_obj,uring)
$(B)/bin/uring: LIBS_example := -luring

$(examples): $(stage)/installed
	$(Q)mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -static -o $@ $(filter %.o,$^) $(call stage_pc,--libs) -lz $(LIBS_example)

$(call example_obj,mnist args run local report data mlp fmath ten raw uring): | $(stage)/installed
