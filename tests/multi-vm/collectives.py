#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Two guests and a host process reduce together on one box: exact sums, and a guest that is killed."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from fleet import Fleet  # noqa: E402
import tap  # noqa: E402


def reduce_together(fleet, name, count, rounds):
    """Ranks 0 and 1 in guests, rank 2 on the host; the tool checks every sum."""
    jobs = [guest.box_spawn(f"allreduce {name} 3 {rank} {count} {rounds}") for rank, guest in enumerate(fleet.guests)]
    assert fleet.host(f"allreduce {name} 3 2 {count} {rounds}")["rounds"] == str(rounds)
    for job in jobs:
        status, output = job.wait(200)
        assert status == 0 and f"rounds={rounds}" in output, output


def small(fleet):
    """200 all-reduces of 16 elements by two guests and a host process: every sum is exact"""
    reduce_together(fleet, "small", 16, 200)


def longer(fleet):
    """all-reduces of 1,000,003 elements, through staging, by two guests and a host process: every sum is exact"""
    reduce_together(fleet, "longer", 1000003, 3)


def two_contexts_of_one_device(fleet):
    """three ranks on one device, each a context of its own"""
    guest = fleet.guests[0]
    jobs = [guest.box_spawn(f"allreduce inside 3 {rank} 50000 5") for rank in range(3)]
    for job in jobs:
        status, output = job.wait(200)
        assert status == 0 and "rounds=5" in output, output


def killed(fleet):
    """a guest killed among all-reduces ends them for the others, with its rank"""
    one, two = fleet.guests
    survivor = one.box_spawn("allreduce doomed 3 0 100000 0")
    victim = two.box_spawn("allreduce doomed 3 1 100000 0")
    child = fleet.host_spawn("allreduce doomed 3 2 100000 0")
    assert victim.wait_for("begun=1"), victim.output
    two.kill()
    status, output = survivor.wait(100)
    outputs = [output, child.communicate(timeout=100)[0]]
    assert status == 1 and child.returncode == 1, outputs
    for output in outputs:  # who was between two is refused: the epoch is over
        assert "status=RANK_DEAD" in output and "rank 1" in output or "status=BAD_EPOCH" in output, outputs
    assert any("status=RANK_DEAD" in output for output in outputs), outputs


CASES = [small, longer, two_contexts_of_one_device, killed]


def main():
    t = tap.Tap(len(CASES) + 2)
    with Fleet("collectives", guests=2, size="192M") as fleet:
        for case in CASES:
            with t.case(case.__doc__):
                case(fleet)
        t.equal(fleet.fsck(), "", "the checker finds nothing afterwards")
        t.equal(fleet.logs(), [], "no complaint in any kernel log")
    t.exit()


if __name__ == "__main__":
    main()
