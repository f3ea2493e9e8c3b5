# SPDX-License-Identifier: MIT
# bench/: the programs of `make bench`, in $(B)/bench. Ours are static: they run in guests, too. Those that
# need a peer's library are built where that is installed (scripts/bench installs it first).

CFLAGS_bench = -D_GNU_SOURCE -Iuserlib/include -Iuapi

bench_own := $(addprefix $(B)/bench/,box copy redis tcp nvme)
BENCH := $(if $(SAN),,$(bench_own))

$(bench_own): $(B)/bench/%: $(B)/obj/bench/%.o $(B)/obj/bench/player.o $(B)/lib/libmembox.a
	$(Q)mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -static -o $@ $^ -lm -lpthread

ifneq ($(shell command -v mpicc),)
BENCH += $(if $(SAN),,$(B)/bench/mpi)
mpi_flags := $(shell mpicc --showme:compile)
$(B)/obj/bench/mpi.o: CFLAGS_bench += $(patsubst -I%,-isystem %,$(mpi_flags))
$(B)/bench/mpi: $(B)/obj/bench/mpi.o $(B)/obj/bench/player.o
	$(Q)mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell mpicc --showme:link)
endif

ifneq ($(wildcard /usr/include/gloo/allreduce.h),)
BENCH += $(if $(SAN),,$(B)/bench/gloo)
$(B)/bench/gloo: bench/gloo.cc bench/player.h $(B)/obj/bench/player.o
	$(Q)mkdir -p $(@D)
	$(say) CXX $@
	$(Q)$(CXX) -std=c++17 -Wall -Wextra -Wshadow $(if $(WERROR),-Werror) -O2 -o $@ $< $(B)/obj/bench/player.o -lgloo -lpthread
endif

.PHONY: bench-programs
bench-programs: $(BENCH)
$(BENCH): | need-user
