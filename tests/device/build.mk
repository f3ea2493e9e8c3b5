# SPDX-License-Identifier: MIT
# tests/device: programs that drive the device in QEMU ($QEMU) over qtest, with no guest. They
# print TAP; an argument chooses the cases whose names contain it.

CFLAGS_tests += -Itests/device

device_parts := case qtest port monitor
device_programs := $(filter-out $(device_parts),$(patsubst tests/device/%.c,%,$(wildcard tests/device/*.c)))
device_programs := $(device_programs:%=$(B)/tests/device/%)
DEVICE_TESTS += $(if $(SAN),,$(device_programs))

$(device_programs): $(B)/tests/device/%: $(B)/obj/tests/device/%.o \
		$(device_parts:%=$(B)/obj/tests/device/%.o) $(B)/lib/libmembox_engine.a
	$(Q)mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lm -lpthread
