#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A machine whose devices reach its memory by copies (swiotlb=force): packets are right, and what would have to be
shared for long, regions and rings, is refused."""
# kernels: 6.12 6.1
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from fleet import BUILD, TOOLS, Fleet  # noqa: E402
import tap  # noqa: E402

KERNEL = os.environ.get("KERNEL", "6.12")
SECONDS = 600
UNSUPPORTED = 2


def main():
    t = tap.Tap()
    files = {"/usr/bin/lib_ops": BUILD / "tests/lib_ops", "/usr/bin/region": TOOLS / "region"}
    with Fleet("bounce", guests=0, kernel=KERNEL, size="128M", files=files) as fleet:
        guest = fleet.add(append="swiotlb=force")
        status, output = guest.run("MEMBOX_TEST_NODE=/dev/membox0 CMOCKA_MESSAGE_OUTPUT=TAP lib_ops", SECONDS)
        t.forward(output, "lib_ops: ")
        t.check(status == 0, "lib_ops ends well", f"status {status}\n{guest.console_tail()}")
        status, output = guest.run("region")
        t.check(f"# REGION_ADD: {UNSUPPORTED}, " in output, "a region is refused", output)
        guest.box("get x i8 64")
        status, output = guest.run("MEMBOX=/dev/membox0 MEMBOX_QUEUES=user mbtool write x 0 64 1 0")
        t.check(status != 0 and "cannot make a queue" in output, "a queue is refused", output)
        t.equal(fleet.fsck(), "", "the box is sound")
        t.equal(fleet.logs(), [], "no complaint in the kernel log")
    t.exit()


if __name__ == "__main__":
    main()
