#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every bad packet through driver and device: its own error, the same as on the file, and not a byte changed."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
import badpackets  # noqa: E402
from fleet import TOOLS, Fleet  # noqa: E402
import tap  # noqa: E402
from vm import box_args  # noqa: E402

KERNEL = os.environ.get("KERNEL", "6.12")
PROGRAM = TOOLS / "badpackets"
# Three ports of one box in one guest: an ordinary one, one that may not write, one without the accelerator.
PORTS = [("rdonly", "rights=ro"), ("less", "acc=off")]
# A debug kernel under emulation is slow: there each seventh pair of faults, besides each fault alone.
EVERY = "7" if KERNEL == "debug" else "1"
FEWER = "13" if KERNEL == "debug" else "5" # the second time
ENVIRONMENT = "MEMBOX=/dev/membox0 MEMBOX_RDONLY=/dev/membox1 MEMBOX_LESS=/dev/membox2"


def add_guest(fleet):
    for name, options in PORTS:
        fleet.extra += [*box_args(fleet.path, name), "-device", f"membox,memdev={name},{options}"]
    guest = fleet.add()
    status, output = guest.run("for i in $(seq 600); do [ -c /dev/membox2 ] && break; sleep 0.1; done; "
                               "ls -l /dev/membox*")
    assert status == 0, output
    return guest


def through(t, fleet, guest, queues, every):
    """All of them by queues of the process (user) or of the driver (kernel)."""
    watch = badpackets.Watch(PROGRAM, fleet.path)
    status, output = badpackets.in_guest(watch, guest, f"{ENVIRONMENT} BADPACKETS_EVERY={every} "
                                         f"MEMBOX_QUEUES={queues} badpackets")
    t.forward(output, f"{queues} queues: ")
    t.check(status == 0, f"{queues} queues: the program ends well", f"exit status {status}\n{guest.console_tail()}")
    watch.check(t, f"{queues} queues: the bad packets changed nothing in the box but counters")
    os.environ["BADPACKETS_EVERY"] = every
    _, host_output = badpackets.on_host(badpackets.Watch(PROGRAM, fleet.path))
    t.equal(badpackets.results(output), badpackets.results(host_output),
            f"{queues} queues: device and file answer alike, line by line")


def main():
    t = tap.Tap()
    with Fleet("badpackets", guests=0, kernel=KERNEL, size="64M", ports=16,
               files={"/usr/bin/badpackets": PROGRAM}) as fleet:
        guest = add_guest(fleet)
        through(t, fleet, guest, "user", EVERY)
        through(t, fleet, guest, "kernel", FEWER)
        # windows are references of their own: a closed one leaves its number behind, as a handle does
        watch = badpackets.Watch(PROGRAM, fleet.path, ["HANDLES"])
        status, output = badpackets.in_guest(watch, guest, f"BADPACKETS_EVERY={EVERY} badpackets node /dev/membox0")
        t.forward(output, "node: ")
        t.check(status == 0, "node: the program ends well", f"exit status {status}\n{guest.console_tail()}")
        watch.check(t, "node: bad calls changed nothing in the box but counters and references")
        t.equal(fleet.logs(), [], "no complaint in the kernel log")
        if KERNEL == "debug":
            t.equal(guest.leaks(), "", "kmemleak finds nothing")
        t.equal(fleet.fsck(), "", "the checker finds nothing")
    t.exit()


if __name__ == "__main__":
    main()
