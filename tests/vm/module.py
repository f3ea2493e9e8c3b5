#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The module's life in one guest: many times in and out, also behind a killed program; windows against DMA."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from fleet import TOOLS, Fleet  # noqa: E402
import tap  # noqa: E402

KERNEL = os.environ.get("KERNEL", "6.12")
# The debug kernel takes eight times as long for a round.
ROUNDS = 15 if KERNEL == "debug" else 50
KILL_EVERY = 5
# What the rounds may leave behind, in KiB: of the kernel's own memory, and of all. Free memory goes up and
# down by some MiB by itself; a transfer whose pages stayed pinned is TRANSFER bytes.
# The debug kernel's KASAN keeps what was freed for a while (and kmemleak looks for leaks there).
KERNEL_SLACK = 16384 if KERNEL == "debug" else 1024
SLACK = 16384
TRANSFER = 32 << 20
WINDOW_BYTES = 8192


def memory(guest):
    """KiB that the kernel holds for itself, and KiB that are available."""
    guest.run("sync; echo 3 > /proc/sys/vm/drop_caches; sleep 1")
    status, output = guest.run("cat /proc/meminfo")
    assert status == 0, output
    info = {line.split(":")[0]: int(line.split()[1]) for line in output.splitlines() if ":" in line}
    return info["SUnreclaim"] + info["VmallocUsed"] + info["Percpu"] + info["KernelStack"], info["MemAvailable"]


def in_and_out(fleet):
    """rmmod and insmod {ROUNDS} times, every fifth right after a program was killed in mid-transfer; no memory is lost"""
    guest = fleet.guests[0]
    guest.box(f"get churn i8 {TRANSFER}")
    held = free = 0
    for round_ in range(ROUNDS):
        if round_ % KILL_EVERY == 0:
            job = guest.box_spawn(f"forever churn {TRANSFER}")
            assert job.wait_for("writing=1"), job.output
            job.kill()
            job.wait()
        status, output = guest.run("for i in $(seq 300); do rmmod membox && break; sleep 0.1; done; "
                                   "! lsmod | grep -q membox && insmod /lib/membox/membox.ko")
        assert status == 0, f"round {round_}: {output}\n{guest.console_tail()}"
        if round_ == KILL_EVERY:
            held, free = memory(guest)
    guest.box("write churn 0 1000 1 0")
    held_now, free_now = memory(guest)
    assert held_now < held + KERNEL_SLACK, f"the kernel holds {held_now - held} KiB more than after round {KILL_EVERY}"
    assert free_now > free - SLACK, f"{free - free_now} KiB less than after round {KILL_EVERY}"


def busy_module(fleet):
    """rmmod is refused while a program has the node open, and works when it is closed"""
    guest = fleet.guests[0]
    guest.box("get lockme f32 16")
    holder = guest.box_spawn("lock lockme 1000 3600000")
    assert holder.wait_for("locked=1"), holder.output
    assert guest.run("rmmod membox 2>&1")[0] != 0
    holder.kill()
    holder.wait()
    guest.box("lock lockme 5000 0")


def read_only_mapping(fleet):
    """a read-only mapping cannot be made writable, and a store faults"""
    guest = fleet.guests[0]
    fleet.host(f"get ro i8 {WINDOW_BYTES} 8")
    seen = guest.box("romap ro")
    assert seen == {"mprotect": "refused", "fault": "1"}, seen


def dma_into_windows(fleet):
    """another device's DMA into a read-only window changes nothing; into a read-write one it does"""
    guest = fleet.guests[0]
    fleet.host(f"get target i8 {WINDOW_BYTES} 8")
    fleet.host("store target 0 17")
    for mode, wanted in (("ro", "17"), ("rw", "99")):
        holder = guest.box_spawn(f"maphold {mode} target 3600")
        assert holder.wait_for("first="), holder.output
        status, output = guest.run("edudma 0 99", 60)
        assert status == 0 and "written=" in output, output
        assert fleet.host("load target 0")["byte"] == wanted, f"{mode}: {output}"
        holder.kill()
        holder.wait()


def stale_window(fleet):
    """after a window's last user is gone, DMA to where it was reaches nothing"""
    guest = fleet.guests[0]
    fleet.host("store target 0 17")
    status, output = guest.run("edudma 0 55", 60)
    assert status == 0, output
    assert fleet.host("load target 0")["byte"] == "17"


CASES = [read_only_mapping, dma_into_windows, stale_window, busy_module, in_and_out]


def main():
    t = tap.Tap(len(CASES) + 2)
    files = {"/usr/bin/edudma": TOOLS / "edudma"}
    with Fleet("module", kernel=KERNEL, size="128M", files=files,
               devices=["-device", "edu,dma_mask=0xffffffffffffffff"]) as fleet:
        for case in CASES:
            with t.case(case.__doc__.format(ROUNDS=ROUNDS)):
                case(fleet)
        if KERNEL == "debug":
            fleet.guests[0].run("rmmod membox", 60)
            t.equal(fleet.guests[0].leaks(), "", "kmemleak finds nothing")
        else:
            t.equal(fleet.fsck(), "", "the checker finds nothing")
        t.equal(fleet.logs(), [], "no complaint in the kernel log")
    t.exit()


if __name__ == "__main__":
    main()
