#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The driver in one guest: its interface by raw system calls (packet.c), attributes, traces, resets, removal."""
import fnmatch
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from fleet import CHECKOUT, TOOLS, Fleet  # noqa: E402
import tap  # noqa: E402

KERNEL = os.environ.get("KERNEL", "6.12")
PACKET_SECONDS = 600
SYSFS = "/sys/class/membox/membox0"
TRACING = "/sys/kernel/debug/tracing"
FILES = {f"/usr/bin/{name}": TOOLS / name for name in ("packet", "ending")}


def packet(t, guest, prefix=""):
    """All of packet.c's cases."""
    status, output = guest.run("packet", PACKET_SECONDS)
    t.forward(output, prefix)
    t.check(status == 0, f"{prefix}packet ends well", f"status {status}\n{guest.console_tail()}")


def word(guest, command):
    status, output = guest.run(command)
    assert status == 0, output
    return output.strip()


def attributes(guest):
    """attributes tell of port, box, capabilities, queues and counters"""
    value = {name: word(guest, f"cat {SYSFS}/{name}") for name in
             ("abi", "port", "ports", "uuid", "caps", "state", "queues", "contexts", "link", "counters/operations")}
    assert value["abi"] == "1" and value["port"] == "0" and value["ports"] == "8", value
    assert "acc" in value["caps"] and "windows" in value["caps"], value
    assert value["state"] == "live" and len(value["uuid"]) == 36, value
    assert len(value["queues"].splitlines()) == 4, value
    assert value["contexts"].startswith("0 of "), value
    assert int(value["counters/operations"]) > 0, value
    assert word(guest, "stat -c %a /dev/membox0") == "660"


def rule(guest):
    """the udev rule is one for the node that the driver makes"""
    wanted = dict(re.findall(r'(\w+)=="([^"]*)"', (CHECKOUT / "driver/99-membox.rules").read_text()))
    assert word(guest, f"basename $(readlink {SYSFS}/subsystem)") == wanted["SUBSYSTEM"]
    name = re.search("^DEVNAME=(.*)$", word(guest, f"cat {SYSFS}/uevent"), re.M)[1]
    assert fnmatch.fnmatch(name, wanted["KERNEL"]) and set(wanted) == {"SUBSYSTEM", "KERNEL"}, name


def traces(guest):
    """trace events follow a packet from its submission to its completion"""
    word(guest, f"echo 0 > {TRACING}/trace; echo 1 > {TRACING}/events/membox/enable")
    guest.box("get traced f32 100")
    # by the driver's queues: of what a process does in its own the driver sees nothing
    word(guest, "MEMBOX=/dev/membox0 MEMBOX_QUEUES=kernel mbtool sum traced")
    word(guest, f"echo 0 > {TRACING}/events/membox/enable")
    text = word(guest, f"cat {TRACING}/trace")
    at = 0
    for event in ("membox_admin", "membox_submit", "membox_descriptor", "membox_doorbell", "membox_complete"):
        at = text.find(event + ":", at)
        assert at >= 0, f"{event} is missing or out of order\n{text}"


def bus_master(guest, wanted):
    slot = word(guest, "for d in /sys/bus/pci/devices/*; do "
                "if [ $(cat $d/vendor)$(cat $d/device) = 0x1b360x00b0 ]; then basename $d; fi; done")
    low = int(word(guest, f"dd if=/sys/bus/pci/devices/{slot}/config bs=1 skip=4 count=1 2>/dev/null | od -An -tu1"))
    assert bool(low & 4) == wanted, f"command register {low:#x}"
    return slot


def ends(t, guest, how, command):
    """Runs ending.c against a command of the guest, or a function here, that ends the device."""
    job = guest.spawn(f"ending /dev/membox0 {how}")
    if not t.check(job.wait_for("# ready"), f"{how}: a program works", job.output):
        return
    if callable(command):
        command()
    else:
        status, output = guest.run(command, 60)
        t.check(status == 0, f"{how}: the command returns with the node open", output)
    status, output = job.wait()
    t.forward(output.replace("# ready\n", ""), f"{how}: ")
    t.check(status == 0, f"{how}: the program ends well", f"{status}\n{guest.console_tail()}")


def resets(t, guest):
    with t.case("the device is a bus master while it has queues"):
        slot = bus_master(guest, True)
    ends(t, guest, "reset", f"echo 1 > /sys/bus/pci/devices/{slot}/reset")
    with t.case("after a reset new files work"):
        guest.box("get again f32 100")
        assert word(guest, f"cat {SYSFS}/state") == "live"
        assert word(guest, f"cat {SYSFS}/resets") == "1"
    with t.case("the module cannot be taken out while a file is open"):
        job = guest.spawn("exec 3<>/dev/membox0; echo open; sleep 100")
        assert job.wait_for("open")
        assert guest.run("rmmod membox")[0] != 0
        job.kill()
        job.wait()
    ends(t, guest, "gone", f"echo {slot} > /sys/bus/pci/drivers/membox/unbind")
    with t.case("without a driver the device is no bus master, and the node is gone"):
        bus_master(guest, False)
        assert guest.run("ls /dev/membox0")[0] != 0
    with t.case("bound again, it works"):
        word(guest, f"echo {slot} > /sys/bus/pci/drivers/membox/bind")
        guest.box("get again f32 100")


def unplug(t):
    """The device is taken out of its slot under a program, and another put in."""
    with Fleet("driver-unplug", kernel=KERNEL, size="128M", files=FILES, start=False) as fleet:
        guest = fleet.guests[0]
        at = guest.devices.index("-device")
        guest.devices[at:at + 2] = ["-device", "pcie-root-port,id=under,slot=1,chassis=1",
                                    "-device", f"{guest.devices[at + 1]},bus=under,id=first"]
        guest.start()
        guest.insmod()
        ends(t, guest, "gone", lambda: guest.qmp("device_del", id="first"))
        with t.case("gone: the node has gone, too"):
            word(guest, "for i in $(seq 600); do [ -e /dev/membox0 ] || exit 0; sleep 0.1; done; exit 1")
        for _ in range(1200):
            guest.qmp("query-status")
            if any(event["event"] == "DEVICE_DELETED" for event in guest.qmp_events):
                break
            time.sleep(0.1)
        guest.qmp("device_add", driver="membox", memdev="box", bus="under", id="second")
        with t.case("another device in the slot works"):
            word(guest, "for i in $(seq 600); do [ -c /dev/membox0 ] && exit 0; sleep 0.1; done; exit 1")
            guest.box("get again f32 100")
        t.equal(fleet.logs(), [], "no complaint in the kernel log of the unplugged")


def variant(t, name, vectors, options="", append=""):
    """The interface again where the machine is another."""
    with Fleet(f"driver-{name.replace(' ', '-')}", kernel=KERNEL, size="128M", files=FILES, options=options, start=False) as fleet:
        guest = fleet.guests[0]
        guest.append = append
        guest.start()
        guest.insmod()
        with t.case(f"{name}: the driver says so"):
            assert word(guest, f"cat {SYSFS}/vectors") == vectors
        packet(t, guest, f"{name}: ")
        t.equal(fleet.logs(), [], f"{name}: no complaint in the kernel log")


def main():
    t = tap.Tap()
    with Fleet("driver", kernel=KERNEL, size="128M", files=FILES) as fleet:
        guest = fleet.guests[0]
        packet(t, guest)
        for case in (attributes, rule, traces):
            with t.case(case.__doc__):
                case(guest)
        resets(t, guest)
        with t.case("rmmod"):
            word(guest, "rmmod membox")
        if KERNEL == "debug":
            t.equal(guest.leaks(), "", "kmemleak finds nothing")
        t.equal(fleet.logs(), [], "no complaint in the kernel log")
    variant(t, "one vector", "1", options=",vectors=1")
    variant(t, "no vector", "0", append="pci=nomsi")
    # On the debug kernel lockdep complains of pciehp's own locks.
    if KERNEL != "debug":
        unplug(t)
    t.exit()


if __name__ == "__main__":
    main()
