# SPDX-License-Identifier: MIT
"""The rows of `make bench` in the regime "file": the library on a file against peers of this machine."""
import contextlib
import os
import pathlib
import subprocess
import tempfile

import bench_rows
import bench_train
import vm
from bench_players import BENCH, Mpi, Process, Team, Unmeasured, end, start
from bench_rows import Side

KIB, MIB = 1 << 10, 1 << 20
BOX_SIZE = "1G"
PORTS = 64
MEMORY_BYTES = 256 * MIB
COPY = ("memcpy", "nt")
REGIME = "file"
# Two workers' push and pull through ps-lite, milliseconds, as recorded in the project's specification.
PS_LITE_MS = {64: 0.53, 400_000: 1.5, 7_000_000: 20.0, 64 * MIB: 354.0}
REDIS = "/usr/bin/redis-check-rdb"  # one program under several names; redis-tools starts no service


class Place:
    """A folder in memory with a box, and the players on it."""

    def __init__(self):
        shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.folder = tempfile.TemporaryDirectory(prefix="membox-bench-", dir=shared)
        self.path = pathlib.Path(self.folder.name)
        self.box = self.path / "box"
        self.turns = 0
        self.stack = contextlib.ExitStack()
        subprocess.run([vm.BUILD / "bin/memboxctl", "format", self.box, "--size", BOX_SIZE, "--ports", str(PORTS)], check=True,
                       stdout=subprocess.DEVNULL, timeout=120)
        with open(self.path / "memory", "wb") as memory:
            os.posix_fallocate(memory.fileno(), 0, MEMORY_BYTES)

    def team(self, program, ranks=1, **environment):
        """A program in `ranks` processes, which share a page to take turns by."""
        self.turns += 1
        sync = self.path / f"sync.{self.turns}"
        sync.write_bytes(bytes(4096))
        common = {"MEMBOX": f"file:{self.box}", "BENCH_SYNC": str(sync), "BENCH_RANKS": str(ranks), "BENCH_GROUP": f"bench.{self.turns}",
                  "BENCH_MEMORY": str(self.path / "memory"), **environment}
        team = Team(*(Process([BENCH / program], {**common, "BENCH_RANK": str(rank)}) for rank in range(ranks)))
        self.stack.callback(team.close)
        return team

    def mpi(self):
        if not (BENCH / "mpi").exists():
            raise Unmeasured("needs Open MPI")
        mpi = Mpi(tempfile.mkdtemp(dir=self.path))
        self.stack.callback(mpi.close)
        return mpi

    def gloo(self):
        if not (BENCH / "gloo").exists():
            raise Unmeasured("needs gloo")
        return self.team("gloo", ranks=2, BENCH_STORE=tempfile.mkdtemp(dir=self.path))

    def redis(self):
        """A server that keeps all in memory, on a Unix socket only."""
        if not os.path.exists(REDIS):
            raise Unmeasured("needs Redis")
        socket = self.path / "redis"
        server = start(["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no"],
                       executable=REDIS, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=self.path)
        self.stack.callback(end, server)
        for _ in range(100):
            if socket.exists():
                return self.team("redis", BENCH_SOCKET=str(socket))
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.05)
        raise Unmeasured("Redis does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()
        self.folder.cleanup()


def copies(team, size):
    return [Side(team, op, size, op) for op in COPY]


def moves(rows, pace, place):
    """What pictures and readers want to know: one operation of each size, against a copy of that size."""
    ours, copy = place.team("box"), place.team("copy")
    sizes = [64, 4 * KIB, 64 * KIB, MIB, 16 * MIB, 64 * MIB] if pace.quick else \
        [64 << (2 * power) for power in range(11)]
    for op in ("write", "read", "acc"):
        for size in sizes:
            rows.add(f"{op}, one process", size, REGIME, lambda op=op, size=size: bench_rows.row(
                pace, f"{op}, one process", size, None, REGIME, Side(ours, op, size), *(
                    [Side(copy, "add", size, "d += s")] if op == "acc" else copies(copy, size))))


def pairs(rows, pace, place):
    ours, copy = place.team("box", ranks=2), place.team("copy", ranks=2)
    name = "write, then accumulate by another process"
    for size in (64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB):
        rows.add(name, size, REGIME, lambda size=size: bench_rows.row(
            pace, name, size, 0.95, REGIME, Side(ours, "pair", size),
            Side(copy, "pair_memcpy", size, "memcpy, d += s"), Side(copy, "pair_nt", size, "nt copy, d += s")))


def accumulate(rows, pace, place):
    ours = place.team("box")
    mpi = place.mpi()
    peer = Team(mpi.players[0])
    for op, goal, name in (("acc_none", 1.0, "accumulate, journal none"), ("acc", 0.6, "accumulate, journalled")):
        for size in (4 * MIB, 16 * MIB, 64 * MIB):
            rows.add(name, size, REGIME, lambda op=op, goal=goal, name=name, size=size: bench_rows.row(
                pace, name, size, goal, REGIME, Side(ours, op, size),
                Side(peer, "accumulate", size, "MPI_Accumulate")))


def parameter_server(rows, pace, place):
    ours = place.team("box", ranks=2)
    name = "acc + read, two workers"
    for size, peer in PS_LITE_MS.items():
        rows.add(name, size, REGIME, lambda size=size, peer=peer: bench_rows.recorded(
            pace, name, size, 10, REGIME, Side(ours, "accread", size), peer * 1000, "ps-lite, recorded"))


def key_value(rows, pace, place):
    ours, peer = place.team("box"), place.redis()
    for size, goal in ((64, 200), (MIB, 15)):
        rows.add("set and get", size, REGIME, lambda size=size, goal=goal: bench_rows.row(
            pace, "set and get", size, goal, REGIME, Side(ours, "getset", size), Side(peer, "getset", size, "Redis")))


def batches(rows, pace, place):
    ours = place.team("box")
    rows.add("64 operations in a batch", 64, REGIME, lambda: bench_rows.row(
        pace, "64 operations in a batch", 64, 2, REGIME, Side(ours, "batch", 64),
        Side(ours, "single", 64, "one by one")))


def collectives(rows, pace, place):
    """All-reduce of two ranks against MPI, gloo and a copy; others for correctness."""
    ours = place.team("box", ranks=2)
    ours.order("allreduce", 64, 1, 1)  # a library without it is told of once
    peer = Team(*place.mpi().players)
    name = "all-reduce, 2 ranks"
    for size, goal in ((64, 1), (4 * KIB, 2), (64 * KIB, 2), (MIB, 2), (4 * MIB, 2), (16 * MIB, 3), (64 * MIB, 3)):
        rows.add(name, size, REGIME, lambda size=size, goal=goal: bench_rows.row(
            pace, name, size, goal, REGIME, Side(ours, "allreduce", size), Side(peer, "allreduce", size, "Open MPI")))
    copy = place.team("copy")
    for size in (16 * MIB, 64 * MIB):
        rows.add("all-reduce against one copy", size, REGIME, lambda size=size: bench_rows.row(
            pace, "all-reduce against one copy", size, 0.8, REGIME, Side(ours, "allreduce", size),
            *copies(copy, size)))
    gloo = place.gloo()
    for size in (400_000, 7_000_000):
        rows.add("all-reduce against gloo", size, REGIME, lambda size=size: bench_rows.row(
            pace, "all-reduce against gloo", size, 3, REGIME, Side(ours, "allreduce", size),
            Side(gloo, "allreduce", size, "gloo")))


def more_ranks(rows, pace, place):
    """Results with other numbers of ranks; with more ranks than processors times say little."""
    times = {}
    for ranks in (2, 3, 4, 7):
        team = place.team("box", ranks=ranks)
        name = f"all-reduce, {ranks} ranks, results"
        team.order("allreduce", 64, 1, 1)
        for size in (4, 4 * KIB + 4, MIB):
            rows.add(name, size, REGIME, lambda team=team, name=name, size=size: bench_rows.row(
                pace, name, size, None, REGIME, Side(team, "allreduce", size)))
            for row in rows.rows:
                if row.name == name and row.size == size:
                    times.setdefault(f"{size} bytes", []).append((ranks, row.ours))
    rows.pictures.append(("bench-scaling", "All-reduce over ranks",
                          'set xlabel "ranks"\nset ylabel "microseconds"\nset logscale y\n', times))


def training(rows, pace, place):
    for method in bench_train.methods():
        rows.add(f"training, two workers, {method}", None, REGIME,
                 lambda method=method: bench_train.measure(pace, place, method))


GROUPS = {"moves": moves, "pairs": pairs, "accumulate": accumulate, "server": parameter_server, "redis": key_value,
          "batch": batches, "training": training, "all-reduce": collectives, "all-reduce of more ranks": more_ranks}


def measure(rows, pace):
    for name, group in GROUPS.items():
        # Each group has a box of its own, so that none meets what another left.
        with Place() as place:
            try:
                group(rows, pace, place)
            except Unmeasured as reason:
                rows.cannot(name, None, REGIME, reason)
