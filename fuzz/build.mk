# SPDX-License-Identifier: MIT
# fuzz/: libFuzzer programs, each of one file and the engine. They need clang, and a B of their own:
# scripts/fuzz has the variables.

CFLAGS_fuzz := -Iengine -D_GNU_SOURCE
fuzz_programs := $(patsubst fuzz/%.c,$(B)/fuzz/%,$(wildcard fuzz/*.c))
.PHONY: fuzz-programs
fuzz-programs: $(fuzz_programs)

$(fuzz_programs): $(B)/fuzz/%: $(B)/obj/fuzz/%.o $(B)/lib/libmembox_engine.a
	$(Q)mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ -lm -lpthread
