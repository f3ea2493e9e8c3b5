#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Packets by io_uring: tests/vm/uring.c, and the example with liburing."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from fleet import TOOLS, Fleet  # noqa: E402
import tap  # noqa: E402

KERNEL = os.environ.get("KERNEL", "6.12")
SECONDS = 400
READY = "# ready"


def ends(guest, t, how, command):
    """Ends the device under commands in flight."""
    job = guest.spawn(f"uring_test ending {how} > /tmp/{how} 2>&1")
    status, output = guest.run(f"for i in $(seq 600); do grep -q '{READY}' /tmp/{how} && break; sleep 0.1; done; {command}")
    t.check(status == 0, f"{how}: the device ends", output)
    status, _ = job.wait(SECONDS)
    t.forward(guest.run(f"cat /tmp/{how}")[1], f"{how}: ")
    t.check(status == 0, f"{how}: the program ends well", f"status {status}\n{guest.console_tail()}")


def main():
    t = tap.Tap()
    with Fleet("uring", kernel=KERNEL, size="128M", files={"/usr/bin/uring_test": TOOLS / "uring"}) as fleet:
        guest = fleet.guests[0]
        status, output = guest.run("uring_test", SECONDS)
        t.forward(output)
        t.check(status == 0, "the program ends well", f"status {status}\n{guest.console_tail()}")
        status, output = guest.run("uring", SECONDS)
        t.check(status == 0 and "1000 additions: the counter went from 0 to 1000" in output,
                "the example adds a thousand times", output)
        slot = guest.run("basename $(readlink -f /sys/class/membox/membox0/device)")[1].strip()
        ends(guest, t, "reset", f"echo 1 > /sys/bus/pci/devices/{slot}/reset")
        ends(guest, t, "gone", f"echo {slot} > /sys/bus/pci/drivers/membox/unbind")
        status, output = guest.run("for i in $(seq 600); do rmmod membox && exit 0; sleep 0.1; done; exit 1")
        t.check(status == 0, "the module can be taken out afterwards", output)
        if KERNEL == "debug":
            t.equal(guest.leaks(), "", "kmemleak finds nothing")
        t.equal(fleet.logs(), [], "no complaint in the kernel log")
        t.equal(fleet.fsck(), "", "the box is sound")
    t.exit()


if __name__ == "__main__":
    main()
