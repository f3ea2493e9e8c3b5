# SPDX-License-Identifier: MIT
"""The processes that `make bench` measures with: bench/player.h says how they are spoken to.

    ours = Team(Process([BENCH / "box"], {"MEMBOX": uri, "BENCH_RANK": str(rank)}) for rank in range(2))
    ours.order("pair", 1 << 20, samples=10, group=1)     # {"p50": …, "p99": …, "wrong": 0}

A player that has no order sleeps. Every answer has a time-out, and every process ends with this one.
"""
import atexit
import ctypes
import os
import pathlib
import select
import signal
import subprocess
import tempfile
import time

import vm

BENCH = vm.BUILD / "bench"
ANSWER_S = 60
END_S = 5
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_processes = set()


class Unmeasured(Exception):
    """A row has no figure; the text says what it would need."""


def _die_with_parent():
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(command, environment=None, **others):
    """A process that ends with this one."""
    child = subprocess.Popen([str(word) for word in command], env={**os.environ, **(environment or {})},
                             preexec_fn=_die_with_parent, start_new_session=True, **others)
    _processes.add(child)
    return child


def end(child):
    """Ends it and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            pass
        try:
            child.wait(END_S)
            break
        except subprocess.TimeoutExpired:
            continue
    _processes.discard(child)


@atexit.register
def _end_all():
    for child in list(_processes):
        end(child)


def parse(line):
    """The values of an answer; Unmeasured when the player has none."""
    if line.startswith("failed="):
        raise Unmeasured(line.removeprefix("failed=").strip())
    try:
        values = {name: float(value) for name, value in (word.split("=", 1) for word in line.split())}
    except ValueError:
        values = {}
    if "wrong" not in values:
        raise Unmeasured(f"no answer: {line}")
    return values


class Lines:
    """Lines of a descriptor, each with a time-out."""

    def __init__(self, fd):
        self.fd, self.rest = fd, b""

    def next(self, timeout):
        deadline = time.monotonic() + timeout
        while b"\n" not in self.rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise Unmeasured(f"no answer within {timeout:.0f} s")
            data = os.read(self.fd, 65536)
            if not data:
                raise Unmeasured("the program ended")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode(errors="replace")


class Process:
    """A player that is a process of this machine."""

    def __init__(self, command, environment=None):
        self.errors = tempfile.TemporaryFile()
        self.child = start(command, environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        self.lines = Lines(self.child.stdout.fileno())

    def send(self, text):
        try:
            self.child.stdin.write(text.encode() + b"\n")
            self.child.stdin.flush()
        except OSError as error:
            raise Unmeasured(f"the program ended: {self.last_words() or error}") from error

    def receive(self):
        try:
            return parse(self.lines.next(ANSWER_S))
        except Unmeasured as reason:
            words = self.last_words()
            raise Unmeasured(f"{reason}: {words}" if words else str(reason)) from reason

    def last_words(self):
        self.errors.seek(0)
        return " ".join(self.errors.read().decode(errors="replace").split())[-300:]

    def close(self):
        self.child.stdin.close()
        end(self.child)
        self.errors.close()


class Fifo:
    """One rank of a program that mpirun started: orders and answers go through named pipes."""

    def __init__(self, path):
        for name in (path, f"{path}.answers"):
            os.mkfifo(name, 0o600)
        # Opened both ways, neither side waits for the other one's open().
        self.orders = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.answers = os.open(f"{path}.answers", os.O_RDWR | os.O_CLOEXEC)
        self.lines = Lines(self.answers)

    def send(self, text):
        os.write(self.orders, text.encode() + b"\n")

    def receive(self):
        return parse(self.lines.next(ANSWER_S))

    def close(self):
        os.close(self.orders)
        os.close(self.answers)


class Mpi:
    """Open MPI's ranks, bound to cores, over shared memory."""

    def __init__(self, folder, ranks=2):
        path = pathlib.Path(folder) / "mpi"
        self.players = [Fifo(f"{path}.{rank}") for rank in range(ranks)]
        self.log = open(f"{path}.log", "w+b")
        self.child = start(["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", str(ranks), "--bind-to", "core",
                            "--mca", "btl", "self,vader", "--mca", "plm", "isolated", "--mca", "oob_tcp_if_include", "lo",
                            BENCH / "mpi"], {"BENCH_ORDERS": str(path)},
                           stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)

    def close(self):
        end(self.child)
        for player in self.players:
            player.close()
        self.log.close()


class Team:
    """Players that carry out one order together; the time is that of the first."""

    def __init__(self, *players, owner=None):
        self.players, self.owner = list(players), owner
        self.sizes = {}

    def order(self, op, size, samples, group):
        for player in self.players:
            player.send(f"{op} {size} {samples} {group}")
        answers, refused = [], None
        for player in self.players:
            try:
                answers.append(player.receive())
            except Unmeasured as reason:
                refused = refused or reason
        if refused:
            raise refused
        return {**answers[0], "wrong": sum(answer["wrong"] for answer in answers)}

    def measure(self, op, size, budget_ns):
        """An order of about that many nanoseconds: how long one execution takes was found at the first."""
        key = op, size
        if key not in self.sizes:
            first = self.order(op, size, 5, 1)
            each = max(first["p50"], 20.0)
            group = max(1, min(64, int(4000 / each)))
            self.sizes[key] = int(max(5, min(2000, budget_ns / (each * group)))), group
        return self.order(op, size, *self.sizes[key])

    def close(self):
        if self.owner:
            self.owner.close()
        else:
            for player in self.players:
                player.close()
