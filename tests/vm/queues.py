#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Registered memory (region.c) and user queues (userq.c) by raw system calls, and what operations cost (counts.c)."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from fleet import TOOLS, Fleet  # noqa: E402
import tap  # noqa: E402

KERNEL = os.environ.get("KERNEL", "6.12")
# The debug kernel has no system call filters.
PROGRAMS = ("region", "userq") if KERNEL == "debug" else ("region", "userq", "counts")
SECONDS = 240


def main():
    t = tap.Tap()
    with Fleet("queues", kernel=KERNEL, size="128M", files={f"/usr/bin/{name}": TOOLS / name for name in PROGRAMS}) as fleet:
        guest = fleet.guests[0]
        for name in PROGRAMS:
            status, output = guest.run(name, SECONDS)
            t.forward(output, f"{name}: ")
            t.check(status == 0, f"{name} ends well", f"status {status}\n{guest.console_tail()}")
        with t.case("rmmod"):
            status, output = guest.run("rmmod membox")
            assert status == 0, output
        if KERNEL == "debug":
            t.equal(guest.leaks(), "", "kmemleak finds nothing")
        t.equal(fleet.logs(), [], "no complaint in the kernel log")
    t.exit()


if __name__ == "__main__":
    main()
