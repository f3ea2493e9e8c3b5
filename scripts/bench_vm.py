# SPDX-License-Identifier: MIT
"""The rows of `make bench` that have guests in them: regimes "vm" (against native peers) and "vm-tcg".

Two guests share one box. Each has, beside its membox device, what the peers need: an ivshmem device on a
file in memory, a disk behind QEMU's NVMe, and a virtio-net card on a tap of a bridge in a network namespace
of its own, which reaches nothing else.
"""
import contextlib
import os
import queue
import subprocess

import bench_rows
import vm
from bench_file import COPY, MIB, Place, copies
from bench_players import ANSWER_S, BENCH, Team, Unmeasured, parse
from bench_rows import Side

KIB = 1 << 10
MEMORY = "1G"
IVSHMEM_BYTES = 128 * MIB
DISK_BYTES = 64 * MIB
SECTOR = 512
ADDRESS = "192.168.77.{}"
BRIDGE = "bench"
FIND_IVSHMEM = ("for d in /sys/bus/pci/devices/*; do [ $(cat $d/vendor)$(cat $d/device) = 0x1af40x1110 ] && echo $d; done; "
                "true")
WAIT_S = 30


class GuestPlayer:
    """A player in a guest: orders go through a named pipe, answers are the job's output."""

    numbers = iter(range(1, 1 << 30))

    def __init__(self, guest, program, environment):
        self.guest, self.pipe = guest, f"/tmp/orders.{next(self.numbers)}"
        self.answers = queue.Queue()
        words = " ".join(f"{name}={value}" for name, value in environment.items())
        # Opened both ways: the player does not meet the end of its orders between two of them.
        Machines.must(guest, f"mkfifo {self.pipe}")
        self.job = guest.spawn(f"exec env {words} {program} <>{self.pipe}", on_line=self.answers.put)

    def send(self, text):
        status, output = self.guest.run(f"echo '{text}' >{self.pipe}", WAIT_S)
        if status:
            raise Unmeasured(f"{self.guest.name}: {output}")

    def receive(self):
        try:
            return parse(self.answers.get(timeout=ANSWER_S))
        except queue.Empty as reason:
            raise Unmeasured(f"{self.guest.name}: no answer: {self.job.output[-200:]}") from reason

    def close(self):
        if not self.job.done:
            self.job.kill()


class Network:
    """A network namespace with a bridge and a tap for each guest; it has no way out."""

    def __init__(self, folder, guests):
        self.name = f"membox-bench-{os.getpid()}"
        self.run("netns", "add", self.name)
        self.inside("link", "add", BRIDGE, "type", "bridge")
        self.inside("link", "set", BRIDGE, "up")
        for number in range(guests):
            self.inside("tuntap", "add", f"tap{number}", "mode", "tap")
            self.inside("link", "set", f"tap{number}", "master", BRIDGE, "up")
        # What starts QEMU in it.
        self.launcher = folder / "qemu-in-namespace"
        self.launcher.write_text(f'#!/bin/sh\nexec ip netns exec {self.name} "$QEMU_BINARY" "$@"\n')
        self.launcher.chmod(0o755)

    @staticmethod
    def run(*words):
        done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=WAIT_S)
        if done.returncode:
            raise Unmeasured(f"ip {' '.join(words)}: {done.stderr.strip()}")

    def inside(self, *words):
        self.run("-n", self.name, *words)

    def close(self):
        with contextlib.suppress(Unmeasured):
            self.run("netns", "del", self.name)


def zeroes(path, size):
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return path


class Machines(Place):
    """Two guests on the box of a Place, with the peers' devices."""

    def __init__(self, binary):
        super().__init__()
        self.guests, self.network = [], None
        self.without = ""
        try:
            self.network = Network(self.path, 2)
            self.stack.callback(self.network.close)
        except (Unmeasured, OSError) as reason:
            self.without = str(reason)
        os.environ["QEMU_BINARY"] = str(binary)
        zeroes(self.path / "ivshmem", IVSHMEM_BYTES)
        for number in range(2):
            self.guests.append(self.prepare(number, binary))
        for guest in self.guests:
            self.stack.callback(guest.kill)
            guest.start(wait=False)
        for guest in self.guests:
            guest.ready()
            self.must(guest, "insmod /lib/membox/membox.ko && "
                      "for i in $(seq 100); do [ -c /dev/membox0 ] && break; sleep 0.1; done; ls /dev/membox0")
        self.up()

    def prepare(self, number, binary):
        disk = zeroes(self.path / f"disk{number}", DISK_BYTES)
        devices = [*vm.box_args(self.box), "-device", "membox,memdev=box",
                   *vm.box_args(self.path / "ivshmem", "ivshmem"), "-device", "ivshmem-plain,memdev=ivshmem",
                   "-drive", f"if=none,id=disk,format=raw,file={disk}", "-device", "nvme,serial=bench,drive=disk"]
        if self.network:
            devices += ["-netdev", f"tap,id=net,ifname=tap{number},script=no,downscript=no,vhost=off", "-device",
                        f"virtio-net-pci,netdev=net,romfile=,mac=52:54:00:77:00:0{number + 1}"]
        return vm.Guest(f"bench-{number}", devices=devices, memory=MEMORY, programs=[vm.BUILD / "bin/mnist"],
                        binary=self.network.launcher if self.network else binary,
                        modules=("nvme", "virtio_net") if self.network else ("nvme",),
                        files={f"/usr/bin/bench-{name}": BENCH / name for name in ("box", "copy", "tcp", "nvme")})

    @staticmethod
    def must(guest, command, timeout=WAIT_S):
        status, output = guest.run(command, timeout)
        if status:
            raise Unmeasured(f"{guest.name}: {command}: {output}")
        return output.strip()

    def up(self):
        if self.network:
            for number, guest in enumerate(self.guests):
                self.must(guest, f"ip addr add {ADDRESS.format(number + 1)}/24 dev eth0 && ip link set eth0 up")

    def inside(self, program, guests=(0,), **environment):
        """A team of a program in guests; rank is the place in the list."""
        team = Team(*(GuestPlayer(self.guests[number], f"bench-{program}",
                                  {"MEMBOX": "/dev/membox0", "BENCH_RANK": rank, **environment})
                      for rank, number in enumerate(guests)))
        self.stack.callback(team.close)
        return team


def registered(rows, pace, place):
    """A write from a guest's registered memory against a copy on the host."""
    ours, copy = place.inside("box"), place.team("copy")
    for op, name, goal in (("write", "write, registered memory", 0.9), ("read", "read, registered memory", None))[:1 if pace.quick else 2]:
        for size in (64, MIB, 16 * MIB) if pace.quick else (64, 4 * KIB, 64 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB):
            rows.add(name, size, "vm", lambda op=op, name=name, size=size, goal=goal: bench_rows.row(
                pace, name, size, goal if size >= 16 * MIB else None, "vm", Side(ours, op, size), *copies(copy, size)))


def batches(rows, pace, place):
    ours = place.inside("box")
    rows.add("64 operations in a batch", 64, "vm", lambda: bench_rows.row(
        pace, "64 operations in a batch", 64, 10, "vm", Side(ours, "batch", 64),
        Side(ours, "single", 64, "one by one")))


def overlap(rows, pace, place):
    """How much of an addition hides behind work of the processor, or the work behind it."""
    ours = place.inside("box")
    hidden = []
    for size in (64 * KIB, MIB, 4 * MIB) if pace.quick else (64 * KIB, MIB, 4 * MIB, 16 * MIB):
        sides = {op: Side(ours, op, size) for op in ("both", "async", "work")}

        def one(size=size, sides=sides):
            row = bench_rows.row(pace, "addition beside work", size, None, "vm", *sides.values())
            alone = sides["async"].median_us + sides["work"].median_us
            shorter = min(sides["async"].median_us, sides["work"].median_us)
            hidden.append((size, 100 * (alone - sides["both"].median_us) / shorter))
            row.peer, row.against = alone, f"one after the other; {hidden[-1][1]:.0f} % hidden"
            row.ratio = row.peer / row.ours
            return row
        rows.add("addition beside work", size, "vm", one)
    rows.pictures.append(("bench-overlap", "How much of the shorter hides behind the longer: addition, work",
                          'set logscale x 2\nset xlabel "bytes"\nset ylabel "percent"\nset format x "%.0b%B"\n',
                          {"additions of a guest": hidden}))


def all_reduce(rows, pace, place):
    ours = place.inside("box", (0, 1))
    ours.order("allreduce", 64, 1, 1)
    peer = Team(*place.mpi().players)
    for size, goal in ((64, None), (MIB, None), (16 * MIB, 1.5), (64 * MIB, 2))[:3 if pace.quick else 4]:
        rows.add("all-reduce, 2 guests", size, "vm", lambda size=size, goal=goal: bench_rows.row(
            pace, "all-reduce, 2 guests", size, goal, "vm", Side(ours, "allreduce", size),
            Side(peer, "allreduce", size, "Open MPI, native")))


def ivshmem(rows, pace, place):
    where = place.must(place.guests[0], FIND_IVSHMEM)
    ours, peer = place.inside("box"), place.inside("copy", BENCH_MEMORY=f"{where}/resource2_wc")
    rows.add("64 B stored and loaded, mapped", 64, "vm-tcg", lambda: bench_rows.row(
        pace, "64 B stored and loaded, mapped", 64, 0.95, "vm-tcg", Side(ours, "touch", 64),
        Side(peer, "touch", 64, "ivshmem")))
    for size in (MIB, 16 * MIB) if pace.quick else (MIB, 16 * MIB, 64 * MIB):
        rows.add("write against ivshmem memcpy", size, "vm-tcg", lambda size=size: bench_rows.row(
            pace, "write against ivshmem memcpy", size, 10, "vm-tcg", Side(ours, "write", size),
            Side(peer, COPY[0], size, "memcpy to ivshmem")))
    rows.add("accumulate against the guest's", 4 * MIB, "vm-tcg", lambda: bench_rows.row(
        pace, "accumulate against the guest's", 4 * MIB, 15, "vm-tcg", Side(ours, "acc_none", 4 * MIB),
        Side(peer, "add", 4 * MIB, "d += s in ivshmem")))


def nvme(rows, pace, place):
    ours, peer = place.inside("box"), place.inside("nvme", BENCH_DISK="/dev/nvme0n1")
    rows.add("smallest blocking operation", 64, "vm-tcg", lambda: bench_rows.row(
        pace, "smallest blocking operation", 64, 50, "vm-tcg", Side(ours, "write", 64),
        Side(peer, "write", SECTOR, "NVMe, a sector")))
    for size in (MIB, 16 * MIB):
        rows.add("write against NVMe", size, "vm-tcg", lambda size=size: bench_rows.row(
            pace, "write against NVMe", size, 3, "vm-tcg", Side(ours, "write", size),
            Side(peer, "write", size, "NVMe, O_DIRECT, io_uring")))


def network(rows, pace, place):
    if not place.network:
        raise Unmeasured(place.without)
    server = place.guests[1].spawn("exec bench-tcp serve")
    if not server.wait_for("listening", WAIT_S):
        raise Unmeasured(f"tcp serve: {server.output}")
    peer = place.inside("tcp", BENCH_ADDRESS=ADDRESS.format(2))
    ours = place.inside("box", (0, 1))
    rows.add("64 B round trip of two guests", 64, "vm-tcg", lambda: bench_rows.row(
        pace, "64 B round trip of two guests", 64, 140, "vm-tcg", Side(ours, "pingpong", 64),
        Side(peer, "echo", 64, "virtio-net TCP"), mode="polled"))
    rows.add("transfer between two guests", 16 * MIB, "vm-tcg", lambda: bench_rows.row(
        pace, "transfer between two guests", 16 * MIB, 150, "vm-tcg", Side(ours, "transfer", 16 * MIB),
        Side(peer, "send", 16 * MIB, "virtio-net TCP")))
    server.kill()


GROUPS = {"registered memory": registered, "batch": batches, "overlap": overlap, "all-reduce of guests": all_reduce, "ivshmem": ivshmem,
          "NVMe": nvme, "virtio-net": network}


def measure(rows, pace, binary):
    rows.cannot("training, two workers in guests", None, "vm", "needs a measurement of its own, which is not written")
    try:
        with Machines(binary) as place:
            for name, group in GROUPS.items():
                try:
                    group(rows, pace, place)
                except (Unmeasured, vm.GuestError) as reason:
                    rows.cannot(name, None, "vm", reason)
            for guest in place.guests:
                for line in guest.check_log():
                    print(f"{guest.name}: kernel log: {line}")
    except (Unmeasured, vm.GuestError) as reason:
        rows.cannot("guests", None, "vm", reason)
