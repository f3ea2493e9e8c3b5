#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The driver in one guest: its interface by raw system calls (packet.c), its attributes, traces and removal."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from fleet import TOOLS, Fleet  # noqa: E402
import tap  # noqa: E402

KERNEL = os.environ.get("KERNEL", "6.12")
SYSFS = "/sys/class/membox/membox0"
DEVICE = "$(basename $(readlink /sys/class/membox/membox0/device))"
PACKET_SECONDS = 240


def main():
    t = tap.Tap()
    with Fleet("driver", kernel=KERNEL, size="128M", files={"/usr/bin/packet": TOOLS / "packet"}) as fleet:
        guest = fleet.guests[0]
        status, output = guest.run("packet", PACKET_SECONDS)
        t.forward(output)
        t.check(status == 0, "packet ends well", f"status {status}\n{guest.console_tail()}")
        t.equal(fleet.logs(), [], "no complaint in the kernel log")
    t.exit()


if __name__ == "__main__":
    main()
