#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A box without assign-add: read, add, write under the parameter's lock loses no addition, also when a machine dies."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from fleet import Fleet  # noqa: E402
import tap  # noqa: E402

ADDITIONS = 500
VALUE = 3
ELEMENTS = 100000
CAP_ACC, CAP_VECTOR = 1, 2


def no_adder(fleet):
    """a device with acc=off says so, and an addition moves its operand both ways"""
    guest = fleet.guests[0]
    caps = int(guest.box("info")["caps"], 0)
    assert not caps & (CAP_ACC | CAP_VECTOR), hex(caps)
    guest.box(f"get raw i32 {ELEMENTS}")
    before = guest.box("counters")
    guest.box(f"addslow raw 1 {VALUE}")
    after = guest.box("counters")
    for way in ("to_device", "from_device"):
        assert int(after[way]) - int(before[way]) == 4 * ELEMENTS, (way, before, after)


def exact_sum(fleet):
    """2 guests and a host process x 500 additions through the fallback: the exact sum"""
    fleet.host("get total i32 64")
    jobs = [guest.box_spawn(f"addslow total {ADDITIONS} {VALUE}") for guest in fleet.guests]
    fleet.host(f"addslow total {ADDITIONS} {VALUE}")
    for job in jobs:
        status, output = job.wait(240)
        assert status == 0, output
    total = fleet.host("sum total")
    wanted = str((len(jobs) + 1) * ADDITIONS * VALUE)
    assert total["least"] == total["most"] == wanted, (total, wanted)


def killed_adder(fleet):
    """a guest killed between its read and its write stops nobody, and no addition of others is lost"""
    victim = fleet.guests[-1]
    fleet.host(f"get wide i32 {ELEMENTS}")
    job = victim.box_spawn(f"addslow wide 1000000 {VALUE}")
    fleet.host(f"addslow wide {ADDITIONS // 10} {VALUE}")
    assert not job.done, job.output
    victim.kill()
    before = fleet.host("sum wide")
    fleet.host(f"addslow wide {ADDITIONS // 10} {VALUE}")
    fleet.guests[0].box(f"addslow wide {ADDITIONS // 10} {VALUE}")
    after = fleet.host("sum wide")
    added = 2 * (ADDITIONS // 10) * VALUE
    assert int(after["least"]) - int(before["least"]) == added, (before, after)
    assert int(after["most"]) - int(before["most"]) == added, (before, after)


CASES = [no_adder, exact_sum, killed_adder]


def main():
    os.environ["MEMBOX_CAPS_OFF"] = "acc,vector"
    t = tap.Tap(len(CASES) + 2)
    with Fleet("fallback", guests=2, size="64M", options=",acc=off") as fleet:
        for case in CASES:
            with t.case(case.__doc__):
                case(fleet)
        t.equal(fleet.fsck(), "", "the checker finds nothing afterwards")
        t.equal(fleet.logs(), [], "no complaint in any kernel log")
    t.exit()


if __name__ == "__main__":
    main()
