#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The library on the driver: the host tier's programs, which then ran on files, on /dev/membox0, by queues of
their own and through the driver's."""
# kernels: 6.12 6.1
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from fleet import BUILD, Fleet  # noqa: E402
import tap  # noqa: E402

KERNEL = os.environ.get("KERNEL", "6.12")
PROGRAMS = ("lib_ops", "lib_chan", "lib_sync", "lib_procs")
SECONDS = 600


def tells_of_the_device(guest):
    """memboxctl tells of the device, with the module and without"""
    status, output = guest.run("memboxctl info -j /dev/membox0")
    (device,) = json.loads(output)
    assert device["driver"] == "membox" and device["node"] == "membox0", output
    assert device["bus_master"] and device["msix"]["enabled"] and device["msix"]["vectors"] >= 1, output
    assert [bar["bar"] for bar in device["bars"] if bar["enabled"]] == [0, 2, 4], output
    assert not [finding for finding in device["findings"] if "slower" not in finding], output
    status, output = guest.run("memboxctl info /dev/membox0")
    assert "acc" in output and "free of" in output, output
    status, output = guest.run("rmmod membox && memboxctl list -j")
    assert status == 0, output
    (device,) = json.loads(output)
    assert device["driver"] is None and any("not loaded" in finding for finding in device["findings"]), output


def ends_what_waits(guest, command, wanted):
    """Ends the device under a program of the library that waits in it: it is told at once."""
    guest.box("get waited i64 4")
    job = guest.box_spawn("waitversion waited 1000 500000")
    wait = "for i in $(seq 600); do memboxctl stat /dev/membox0 waited | grep -q 'waiters *1' && exit 0; sleep 0.1; done; exit 1"
    status, output = guest.run(wait)
    assert status == 0, output
    status, output = guest.run(f"{command}")
    assert status == 0, output
    status, output = job.wait()
    assert status == 1 and f"status={wanted}" in output, f"{status}\n{output}"


def main():
    t = tap.Tap()
    files = {f"/usr/bin/{name}": BUILD / "tests" / name for name in PROGRAMS}
    with Fleet("library", kernel=KERNEL, size="128M", files=files) as fleet:
        guest = fleet.guests[0]
        for queues in ("", "kernel"):
            what = "the driver's queues" if queues else "own queues"
            for name in PROGRAMS:
                status, output = guest.run(f"MEMBOX_TEST_NODE=/dev/membox0 MEMBOX_QUEUES={queues} "
                                           f"CMOCKA_MESSAGE_OUTPUT=TAP {name}", SECONDS)
                t.forward(output, f"{what}: {name}: ")
                t.check(status == 0, f"{what}: {name} ends well", f"status {status}\n{guest.console_tail()}")
        t.equal(fleet.fsck(), "", "the box is sound")
        slot = guest.run("basename $(readlink -f /sys/class/membox/membox0/device)")[1].strip()
        with t.case("a reset ends what waits"):
            ends_what_waits(guest, f"echo 1 > /sys/bus/pci/devices/{slot}/reset", "RESET")
        with t.case("a device that is taken away ends what waits"):
            ends_what_waits(guest, f"echo {slot} > /sys/bus/pci/drivers/membox/unbind", "GONE")
        with t.case("bound again, it works"):
            status, output = guest.run(f"echo {slot} > /sys/bus/pci/drivers/membox/bind; sleep 1; ls /dev/membox0")
            assert status == 0, output
            guest.box("get waited i64 4")
        with t.case(tells_of_the_device.__doc__):
            tells_of_the_device(guest)
        t.equal(fleet.logs(), [], "no complaint in the kernel log")
    t.exit()


if __name__ == "__main__":
    main()
