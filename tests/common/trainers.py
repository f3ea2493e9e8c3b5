# SPDX-License-Identifier: MIT
"""Runs the example trainer's ranks as processes on one box file, and reads what each reports.

    with Box() as box:
        ranks = box.train(4, "ps", "--epochs 2")      # a master and three workers
        ranks[1].report["accuracy"]
"""
import json
import os
import pathlib
import queue
import subprocess
import tempfile
import threading
import time

CHECKOUT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("B", CHECKOUT / "build"))
MNIST = BUILD / "bin/mnist"
LIMIT = 120


class Rank:
    """One process of a training."""

    def __init__(self, argv, json_path=None, environment=None):
        self.json_path = json_path
        self.lines = []
        self.queue = queue.Queue()
        self.process = subprocess.Popen([str(word) for word in argv], text=True, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env={**os.environ, **(environment or {})})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self.queue.put(line)
        self.queue.put(None)

    @property
    def output(self):
        return "\n".join(self.lines)

    def wait_for(self, text, timeout=LIMIT):
        """Until a line holds text; whether it came."""
        deadline = time.monotonic() + timeout
        while not any(text in line for line in self.lines):
            try:
                if self.queue.get(timeout=max(0.01, deadline - time.monotonic())) is None:
                    return any(text in line for line in self.lines)
            except queue.Empty:
                return False
        return True

    def wait(self, timeout=LIMIT):
        """The exit status; a process that does not end is killed and is an error."""
        try:
            status = self.process.wait(timeout)
            self.reader.join()
            return status
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not end within {timeout} s:\n{self.output}") from None

    @property
    def report(self):
        return report_of(self.json_path.read_text())


def report_of(text):
    """The report that `--json` wrote."""
    return json.loads(text)


def bytes_as_promised(report):
    """A worker's payload: two models a step, and what the start moved."""
    moved = report["dma_to_device_bytes"] + report["dma_from_device_bytes"]
    return moved == report["steps"] * 2 * report["model_bytes"] + report["constant_bytes"]


def last_of(workers):
    """The report of the worker that ended with the most updates, which is an asynchronous training's result: one
    that the machine let run ahead ends, as it should, with what had been learnt until then."""
    return max(workers, key=lambda worker: worker["updates"])


def command(rank, ranks, method, options=""):
    """The example trainer's words behind --box URI."""
    role = f"worker --rank {rank}" if rank else "master"
    return f"--method {method} --role {role} --ranks {ranks} {options}"


class Box:
    """A box file of its own, or one that is there, and trainings on it."""

    def __init__(self, size="64M", path=None):
        folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.TemporaryDirectory(prefix="membox-trainers-", dir=folder)
        self.path = path or pathlib.Path(self.folder.name) / "box"
        self.ranks = []
        if path:
            return
        subprocess.run([BUILD / "bin/memboxctl", "format", self.path, "--size", size], check=True,
                       stdout=subprocess.DEVNULL, timeout=60)

    def start(self, rank, ranks, method, options="", environment=None):
        """Starts one rank of the example trainer."""
        report = pathlib.Path(self.folder.name) / f"report-{len(self.ranks)}.json"
        child = Rank([MNIST, "--box", f"file:{self.path}", "--json", report,
                      *command(rank, ranks, method, options).split()], report, environment)
        self.ranks.append(child)
        return child

    def train(self, ranks, method, options="", each=None, environment=None):
        """A whole training, each: {rank: more options}. All must succeed; returns them."""
        each = each or {}
        children = [self.start(rank, ranks, method, f"{options} {each.get(rank, '')}", environment)
                    for rank in range(ranks)]
        for rank, child in enumerate(children):
            status = child.wait()
            assert status == 0, f"rank {rank}: exit status {status}\n{child.output}"
        return children

    def usage(self):
        """What the box holds: the numbers that must be equal before and after a training."""
        shown = subprocess.run([BUILD / "bin/memboxctl", "ls", self.path], capture_output=True, text=True,
                               timeout=60, check=True)
        return shown.stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in self.ranks:
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait()
        self.folder.cleanup()


def local(ranks, options=""):
    """The reference: one process; what it reports."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        child = Rank([MNIST, "--method", "local", "--ranks", ranks, "--json", report, *options.split()], report)
        status = child.wait()
        assert status == 0, child.output
        return child.report
