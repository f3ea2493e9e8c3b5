#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The order of the fields, seen from below: the driver stores a command's operands and addresses first, then the
instruction word in one piece, then the tail; the device fetches, and moves data, after that."""
# kernels: 6.12 6.1
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
import cache  # noqa: E402
from fleet import CHECKOUT, Fleet  # noqa: E402
import packages  # noqa: E402
import qemu  # noqa: E402
import tap  # noqa: E402

KERNEL = os.environ.get("KERNEL", "6.12")
SOURCE = CHECKOUT / "tests/plugins/stores.c"
EVENTS = ["membox_dma_map", "membox_queue_fetch", "membox_descriptor", "membox_complete"]
DESCRIPTOR = 128
INSTRUCTION = (0, 8)  # offset and bytes in a descriptor
HOST_ADDRESS = (80, 8)
OP_WRITE, BYTES, ROUNDS = 0x02, 64, 8


def build_plugin(folder):
    """QEMU's plugin that keeps a guest's stores."""
    packages.require("fetch", "qemu")
    name, _ = qemu.source_key()
    headers = cache.root() / f"qemu-base-{cache.key(name, *qemu.FLAGS)}" / "src/include/qemu"
    flags = subprocess.run(["pkg-config", "--cflags", "glib-2.0"], capture_output=True, text=True, check=True).stdout
    path = folder / "stores.so"
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
                    f"-I{headers}", *flags.split(), "-o", path, SOURCE], check=True)
    return path


def number(line, word):
    return int(re.search(rf"\b{word} (0x[0-9a-f]+|\d+)", line)[1], 0)


def writes_in(lines):
    """[(descriptor's address in its ring, data's address)] of the WRITE commands in a trace, in their order."""
    found = []
    ring = None
    for i, line in enumerate(lines):
        if line.startswith("membox_queue_fetch"):
            ring = next(number(lines[k], "addr") for k in range(i - 1, -1, -1)
                        if lines[k].startswith("membox_dma_map") and number(lines[k], "write") == 0
                        and number(lines[k], "bytes") == DESCRIPTOR * number(line, "descriptors"))
        elif line.startswith("membox_descriptor") and ring is not None:
            if number(line, "opcode") == OP_WRITE:
                found.append((ring, number(line, "addr")))
            ring += DESCRIPTOR
    return found


def trace_of(guest):
    text = (guest.directory / "qemu.log").read_text(errors="replace")
    return [line for line in text.splitlines() if line.startswith("membox_")]


def fetched_before_moved(lines, data):
    """the device maps a command's data after it has fetched the descriptor, and completes after that"""
    for address in data:
        at = 0
        for event, word in (("membox_queue_fetch", ""), ("membox_descriptor", f"addr {address:#x} "),
                            ("membox_dma_map", f"addr {address:#x} "), ("membox_complete", "status 0 ")):
            at = next((i for i in range(at, len(lines)) if lines[i].startswith(event) and word in lines[i]), None)
            assert at is not None, f"{event} does not follow\n" + "\n".join(lines)


def instruction_last(stores, slots):
    """of each descriptor the instruction word is stored last, in one piece, after the address of the data"""
    for slot in slots:
        mine = [(addr - slot, size) for addr, size in stores if addr < slot + DESCRIPTOR and addr + size > slot]
        assert mine and mine[-1] == INSTRUCTION, mine
        first, size = HOST_ADDRESS
        assert any(at < first + size and at + length > first for at, length in mine[:-1]), mine


def main():
    t = tap.Tap()
    with Fleet("order", guests=0, kernel=KERNEL, size="64M") as fleet:
        folder = pathlib.Path(fleet.folder.name)
        out, watch = folder / "out", folder / "watch"
        fleet.extra = ["-plugin", f"{build_plugin(folder)},out={out},watch={watch}",
                       *(word for event in EVENTS for word in ("-trace", event))]
        guest = fleet.add()
        guest.box(f"get x i8 {BYTES * ROUNDS}")
        before = len(trace_of(guest))
        for round_ in range(ROUNDS):
            guest.box(f"write x {round_ * BYTES} {BYTES} {round_} 0", queues="kernel")
        lines = trace_of(guest)[before:]
        commands = writes_in(lines)
        t.check(len(commands) == ROUNDS, "each WRITE is in the device's trace", "\n".join(lines))
        watch.write_text("".join(f"{slot} {DESCRIPTOR}\n" for slot, _ in commands))
        complaints = fleet.logs()
        guest.stop()
        stores = [tuple(map(int, line.split())) for line in out.read_text().splitlines()]
        with t.case(fetched_before_moved.__doc__):
            fetched_before_moved(lines, [data for _, data in commands])
        with t.case(instruction_last.__doc__):
            instruction_last(stores, {slot for slot, _ in commands})
        t.equal(complaints, [], "no complaint in the kernel log")
    t.exit()


if __name__ == "__main__":
    main()
