#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The library on the driver: the host tier's programs, which then ran on files, on /dev/membox0."""
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
SECONDS = 240


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


def main():
    t = tap.Tap()
    files = {f"/usr/bin/{name}": BUILD / "tests" / name for name in PROGRAMS}
    with Fleet("library", kernel=KERNEL, size="128M", files=files) as fleet:
        guest = fleet.guests[0]
        for name in PROGRAMS:
            status, output = guest.run(f"MEMBOX_TEST_NODE=/dev/membox0 CMOCKA_MESSAGE_OUTPUT=TAP {name}", SECONDS)
            t.forward(output, f"{name}: ")
            t.check(status == 0, f"{name} ends well", f"status {status}\n{guest.console_tail()}")
        t.equal(fleet.fsck(), "", "the box is sound")
        with t.case(tells_of_the_device.__doc__):
            tells_of_the_device(guest)
        t.equal(fleet.logs(), [], "no complaint in the kernel log")
    t.exit()


if __name__ == "__main__":
    main()
