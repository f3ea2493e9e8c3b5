# SPDX-License-Identifier: MIT
"""Throughput of training: two workers that share against two that do not know of each other.

Both are examples/mnist, with the same batch a worker, the same model and loss. The independent ones
compute what a parameter server would with one worker, in their own memory. Sharing ones must end with the
weights of the single process that folds both shares, bit for bit.
"""
import json
import statistics
import subprocess

import vm
from bench_players import Unmeasured, end, start
from bench_rows import Row

DATA = "/usr/share/datasets/fashion-mnist"
LIMIT_S = 120
MNIST = vm.BUILD / "bin/mnist"
SAMPLES = {True: 2000, False: 6000}  # a worker, by whether the run is quick
EPOCHS = 2
TEST = 100


def options(samples, ranks):
    return ["--path", DATA, "--train", str(samples), "--test", str(TEST), "--epochs", str(EPOCHS), "--ranks", str(ranks)]


def together(commands, folder, environment=None):
    """Runs mnist side by side and returns the summaries."""
    children, files = [], []
    try:
        for number, command in enumerate(commands):
            files.append(folder / f"mnist.{number}.json")
            files[-1].unlink(missing_ok=True)
            children.append(start([MNIST, *command, "--json", files[-1]], environment, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL))
        for child in children:
            if child.wait(LIMIT_S):
                raise Unmeasured(f"mnist ended with status {child.returncode}")
    except subprocess.TimeoutExpired as reason:
        raise Unmeasured(f"mnist took over {LIMIT_S} s") from reason
    finally:
        for child in children:
            end(child)
    return [json.loads(file.read_text()) for file in files]


def speed(summaries):
    return sum(one["samples_per_second"] for one in summaries)


def sharing(method, samples):
    """Command lines of all seats of a method, those of the workers last."""
    if method == "ps":
        common = ["--method", "ps", *options(2 * samples, 3)]
        return [["--role", "master", *common]] + [["--role", "worker", "--rank", str(rank), *common] for rank in (1, 2)]
    return [["--role", "auto", "--method", method, *options(2 * samples, 2)]] * 2


def methods():
    """The methods of this library that two workers can share by and a single process can check."""
    listed = subprocess.run([MNIST, "--methods"], capture_output=True, text=True, check=True, timeout=30).stdout
    return [name for name in ("ps", "allreduce") if any(line.split()[:1] == [name] for line in listed.splitlines())]


def measure(pace, place, method):
    samples = SAMPLES[pace.quick]
    alone = [["--method", "local", *options(samples, 2)]] * 2
    folded = together([["--method", "local", *options(2 * samples, 3)]], place.path)[0]["weights"]
    ours, peer, wrong = [], [], 0
    for _ in range(5):
        peer.append(speed(together(alone, place.path)))
        workers = together(sharing(method, samples), place.path, {"MEMBOX": f"file:{place.box}"})[-2:]
        ours.append(speed(workers))
        wrong += sum(worker["weights"] != folded for worker in workers)
    return Row(f"training, two workers, {method}", None, statistics.median(ours), statistics.median(peer), 0.95, "file",
               unit="smp/s", wrong=wrong, against="two independent workers")
