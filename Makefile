# SPDX-License-Identifier: MIT
# membox: the verbs that a person types. `make help` lists them.
#
# The components add to LIBS, PROGRAMS, HOST_TESTS and DEVICE_TESTS in their build.mk, and extend
# `install` with double-colon rules. Variables: B (build directory), CC, SAN (sanitizers, with a B
# of their own), COVERAGE=1 (likewise), WERROR=1, V=1 (show commands), TIER (for test), QUICK=1 (for bench), TIME (for soak),
# PREFIX and DESTDIR (for install).

B ?= build
SAN ?=
COVERAGE ?=
WERROR ?=
PREFIX ?= /usr/local
TIER ?=
KERNEL ?= 6.12
QUICK ?=
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
MAKEFLAGS += --no-print-directory
endif
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

# No fused multiply-add and no fast maths anywhere: results are compared bit for bit.
CFLAGS ?= $(if $(SAN)$(COVERAGE),-O1,-O2) -g
COMMON_CFLAGS := -std=gnu11 -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion \
	-ffp-contract=off -Iuapi $(if $(WERROR),-Werror) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) \
	$(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=undefined) \
	$(if $(COVERAGE),--coverage -fprofile-update=atomic)
ALL_CFLAGS = $(COMMON_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(if $(SAN),-fsanitize=$(SAN)) $(if $(COVERAGE),--coverage) $(LDFLAGS)

LIBS :=
PROGRAMS :=
HOST_TESTS :=
DEVICE_TESTS :=

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all lib programs examples host-tests device-tests modules qemu kernels demo test bench check soak kunit lint vm \
	mutants coverage fuzz \
	install install-udev clean help need-user FORCE

-include engine/build.mk userlib/build.mk examples/build.mk tests/build.mk tests/device/build.mk bench/build.mk fuzz/build.mk

all: lib programs
lib: $(LIBS)
programs examples: $(PROGRAMS)
host-tests: $(HOST_TESTS)
device-tests: $(DEVICE_TESTS)
$(LIBS) $(PROGRAMS) $(HOST_TESTS) $(DEVICE_TESTS): | need-user

# Objects; CFLAGS_<folder> belongs to everything below that top folder.
$(B)/obj/%.o: %.c $(B)/flags | need-user
	$(Q)mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) $(CFLAGS_$(firstword $(subst /, ,$*))) -MMD -MP -fPIC -fvisibility=hidden -c -o $@ $<

# A change of flags rebuilds the objects.
$(B)/flags: FORCE
	$(Q)mkdir -p $(B)
	$(Q)echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' > $@

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

need-user:
	$(Q)scripts/packages user test

modules:
	$(Q)scripts/build-modules
qemu:
	$(Q)scripts/build-qemu
kernels:
	$(Q)scripts/build-kernel
demo:
	$(Q)scripts/demo
test:
	$(Q)scripts/run-tests $(TIER)
bench:
	$(Q)scripts/bench $(if $(QUICK),--quick)
check:
	$(Q)scripts/run-tests host
soak:
	$(Q)scripts/soak $(if $(or $(TIME),$(SECONDS)),--time $(or $(TIME),$(SECONDS)))
kunit:
	$(Q)scripts/run-tests kunit
lint:
	$(Q)scripts/run-tests lint
fuzz:
	$(Q)scripts/fuzz $(if $(TIME),--time $(TIME)) $(ONLY)
mutants:
	$(Q)scripts/mutants
coverage:
	$(Q)scripts/coverage
vm: all
	$(Q)scripts/build-modules $(KERNEL)
	$(Q)scripts/vm.py --kernel $(KERNEL) $(if $(BOX),--box $(BOX))

install:: all install-udev
UDEVDIR ?= $(PREFIX)/lib/udev/rules.d
install-udev:
	install -d $(DESTDIR)$(UDEVDIR)
	install -m 644 driver/99-membox.rules $(DESTDIR)$(UDEVDIR)
clean:
	rm -rf build
help:
	@echo 'make              the library and the programs, in $(B)/lib and $(B)/bin'
	@echo 'make demo         three virtual machines train one model through one shared box'
	@echo 'make test         all tests; TIER=host|lint|kunit|device|vm|multi-vm|trainers for one tier'
	@echo 'make bench        membox against its peers, in turn: build/bench.json (QUICK=1: under five minutes)'
	@echo 'make check        the host tier: no virtual machine'
	@echo 'make soak         ten minutes (TIME=<seconds>) of verified work while machines and processes die: build/soak.json'
	@echo 'make kunit        the driver'"'"'s unit tests in a debug kernel'
	@echo 'make lint         warnings, checkpatch, sparse, shellcheck'
	@echo 'make coverage     the lines of engine, library and driver that tests execute: build/coverage.json'
	@echo 'make fuzz         libFuzzer on packets and damaged boxes (TIME=seconds for each, ONLY=packet|box)'
	@echo 'make mutants      breaks the project on purpose and sees whether tests notice: build/mutants.json'
	@echo 'make modules      membox.ko for the kernels 6.12, 6.1 and debug, in build/modules'
	@echo 'make lib          libmembox only'
	@echo 'make qemu         QEMU with the device (scripts/build-qemu --print names the binary)'
	@echo 'make vm           a shell in a guest (KERNEL=6.12|6.1|debug, BOX=<box file>)'
	@echo 'make install      library, memboxctl, manual pages, udev rule: to PREFIX (/usr/local), below DESTDIR'
	@echo 'make clean        removes build; the cache stays: see docs/development.md'

print-%:
	@echo '$($*)'
