# SPDX-License-Identifier: MIT
# tests/: every tests/host/*.c is a program of the host tier, cmocka printing TAP. The tools that
# tests run in guests and on the host alike are static, in $(B)/guest.

CFLAGS_tests := -Itests/common -Iengine -Iuserlib/include -D_GNU_SOURCE

host_programs := $(patsubst tests/host/%.c,$(B)/tests/%,$(wildcard tests/host/*.c))
HOST_TESTS += $(host_programs)

$(host_programs): $(B)/tests/%: $(B)/obj/tests/host/%.o $(B)/lib/libmembox.a $(B)/lib/libmembox_engine.a
	$(Q)mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka -lm -lpthread

guest_tools := $(B)/guest/mbtool $(B)/guest/edudma $(B)/guest/badpackets $(B)/guest/counts $(B)/guest/soak
PROGRAMS += $(if $(SAN),,$(guest_tools))

$(B)/guest/badpackets: $(patsubst %,$(B)/obj/tests/tools/badpackets_%.o,scene faults node uring)
$(B)/guest/badpackets: LIBS_tool := -luring

$(B)/guest/soak: $(patsubst %,$(B)/obj/tests/tools/soak_%.o,box check)

$(guest_tools): $(B)/guest/%: $(B)/obj/tests/tools/%.o $(B)/lib/libmembox.a $(B)/lib/libmembox_engine.a
	$(Q)mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -static -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS_tool) -lm -lpthread

# The driver's interface by system calls alone needs no library.
driver_tools := $(B)/guest/packet $(B)/guest/ending $(B)/guest/region $(B)/guest/userq $(B)/guest/uring
PROGRAMS += $(if $(SAN),,$(driver_tools))

$(driver_tools): $(B)/guest/%: $(B)/obj/tests/vm/%.o
	$(Q)mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -static -o $@ $^ $(LIBS_tool)
$(B)/guest/uring: LIBS_tool := -luring

# The costs of operations: the program with the marks, and the plugin of QEMU that counts between
# them (scripts/plugin.py builds it, as it needs QEMU's header).
PROGRAMS += $(if $(SAN),,$(B)/guest/cost)
$(B)/guest/cost: $(B)/obj/tests/costs/cost.o $(B)/lib/libmembox.a
	$(Q)mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -static -o $@ $^ -lm -lpthread
