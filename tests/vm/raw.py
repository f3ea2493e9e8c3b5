#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""examples/raw.c in a guest: ioctl, write, read, poll and mmap without the library."""
import os
import pathlib
import sys

import tap

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
from fleet import Fleet  # noqa: E402 (the path comes first)

out = tap.Tap()
with Fleet("raw", kernel=os.environ.get("KERNEL", "6.12")) as fleet:
    status, output = fleet.guests[0].run("raw", 120)
    out.forward(output)
    out.equal(status, 0, "raw ends well")
    out.equal(fleet.logs(), [], "no complaint in the kernel log")
    out.equal(fleet.fsck(), "", "the box is sound")
out.exit()
