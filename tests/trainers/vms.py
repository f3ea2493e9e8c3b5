#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The parameter servers in three guests on their devices, and mixed with host processes on the file."""
import itertools
import pathlib
import subprocess
import sys
import tempfile

import tap

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
from fleet import Fleet  # noqa: E402 (the path comes first)
from trainers import MNIST, Box, bytes_as_promised, command, last_of, local, report_of  # noqa: E402

DATA = "/data"
SAMPLES = ["--train", "6000", "--test", "1000"]  # the trainer's defaults, so that local() has the same
SHORT = "--train 600 --test 100 --epochs 1 --batch 20"
PAUSES = [0, 150, 300]  # milliseconds before each step: longer than a guest's gradient takes
TRAINING = 400  # seconds, on a busy machine


class GuestRank:
    """A rank of a training in a guest, with what trainers.Rank has."""

    def __init__(self, guest, rank, words):
        self.guest, self.path = guest, f"/tmp/report-{rank}"
        self.job = guest.spawn(f"rm -f {self.path}; exec mnist --box /dev/membox0 --json {self.path} {words}")

    def wait_for(self, text, timeout=TRAINING):
        return self.job.wait_for(text, timeout)

    def wait(self, timeout=TRAINING):
        return self.job.wait(timeout)[0]

    @property
    def output(self):
        return self.job.output

    @property
    def report(self):
        return report_of(self.guest.run(f"cat {self.path}")[1])


def start(fleet, places, method, options="", each=None):
    """Starts a rank in each place: a guest's number, or None for a process on the host."""
    each = each or {}
    ranks = []
    with_data = f"--path {DATA} {options}"
    for rank, place in enumerate(places):
        if place is None:
            ranks.append(fleet.processes.start(rank, len(places), method, f"{options} {each.get(rank, '')}"))
        else:
            words = command(rank, len(places), method, f"{with_data} {each.get(rank, '')}")
            ranks.append(GuestRank(fleet.guests[place], rank, words))
    return ranks


def train(fleet, places, method, options="", each=None):
    """A whole training; every rank must succeed. Their reports."""
    ranks = start(fleet, places, method, options, each)
    for number, rank in enumerate(ranks):
        status = rank.wait(TRAINING)
        assert status == 0, f"rank {number}: exit status {status}\n{rank.output}"
    return [rank.report for rank in ranks]


def three_guests(fleet):
    """ps in three guests reaches 80 %, equals the single-process fold on the host, moves what it should"""
    before = fleet.processes.usage()
    master, *workers = train(fleet, [0, 1, 2], "ps")
    wanted = local(3)
    for worker in workers:
        assert worker["weights"] == wanted["weights"], f"{worker['weights']}\n{wanted['weights']}"
        assert worker["accuracy"] == wanted["accuracy"] >= 0.80, worker["accuracy"]
        assert bytes_as_promised(worker), worker
    assert master["serve_to_device_bytes"] == master["serve_from_device_bytes"] == 0, master
    assert fleet.processes.usage() == before, fleet.processes.usage()


def async_in_three_guests(fleet):
    """ps-async in three guests reaches 80 %, and applies every gradient once"""
    master, *workers = train(fleet, [0, 1, 2], "ps-async")
    assert last_of(workers)["accuracy"] >= 0.80, workers
    assert all(bytes_as_promised(worker) for worker in workers), workers
    assert master["updates"] == sum(worker["steps"] for worker in workers), master
    assert master["serve_to_device_bytes"] == master["serve_from_device_bytes"] == 0, master


def every_order(fleet, places):
    """Three workers who arrive in each of six orders, the master and they in one of the places after the other."""
    wanted = local(4, SHORT)["weights"]
    for order, place in zip(itertools.permutations(PAUSES), itertools.cycle(places)):
        each = {rank + 1: f"--pause {pause}" for rank, pause in enumerate(order)}
        for worker in train(fleet, place, "ps", SHORT, each)[1:]:
            assert worker["weights"] == wanted, f"pauses {order}, places {place}"


def every_order_in_guests(fleet):
    """three workers in three guests arriving in each of six orders equal the single-process fold"""
    every_order(fleet, [[0, 0, 1, 2], [1, 0, 1, 2]])


def every_order_mixed(fleet):
    """three workers on host and guests arriving in each of six orders equal the single-process fold"""
    every_order(fleet, [[0, None, 1, 2], [None, 0, 1, 2], [1, None, None, 2]])


def all_in_one_guest(fleet):
    """a master and three workers on one device equal the single-process fold"""
    wanted = local(4, SHORT)["weights"]
    for worker in train(fleet, [0, 0, 0, 0], "ps", SHORT)[1:]:
        assert worker["weights"] == wanted
    master, *_ = train(fleet, [1, 1, 1, 1], "ps-async", SHORT)
    assert master["updates"] == 3 * 10, master


def ten_lines(fleet):
    """the ten-line trainer runs in three guests, configured by the environment alone"""
    environment = "MEMBOX=/dev/membox0 MEMBOX_METHOD=ps:steps=200 MEMBOX_RANKS=3"
    jobs = [guest.spawn(f"{environment} exec ten") for guest in fleet.guests]
    results = [job.wait(TRAINING) for job in jobs]
    found = "1.000 2.000 3.000 4.000 5.000 6.000 7.000 8.000\n"
    assert sorted(results) == [(0, ""), (0, found), (0, found)], results


def killed_guest(fleet):
    """a worker whose machine is killed is an error with its name, in a guest and on the host"""
    ranks = start(fleet, [0, 1, 2, None], "ps", "--epochs 50")
    assert ranks[2].wait_for("step "), ranks[2].output
    fleet.guests[2].kill()
    for number in (0, 1, 3):
        status = ranks[number].wait()
        assert status == 1 and "rank 2 died" in ranks[number].output, f"rank {number}: {status}\n{ranks[number].output}"


def device_without_acc(fleet):
    """a master whose device cannot add: the same bits, and its counters move"""
    fleet.add(options=",acc=off")
    master, *workers = train(fleet, [3, 1, None], "ps", SHORT)
    wanted = local(3, SHORT)["weights"]
    assert all(worker["weights"] == wanted for worker in workers)
    assert all(bytes_as_promised(worker) for worker in workers)
    assert master["serve_from_device_bytes"] > master["steps"] * master["model_bytes"], master


def nothing_in_the_logs(fleet):
    """no complaint in any kernel log, and the box is sound"""
    assert not fleet.logs(), fleet.logs()
    assert not fleet.fsck(), fleet.fsck()


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([MNIST, "--make-subset", folder, *SAMPLES], check=True, timeout=60)
        files = {f"{DATA}/{file.name}": file for file in pathlib.Path(folder).iterdir()}
        with Fleet("trainers", guests=3, files=files) as fleet, Box(path=fleet.path) as processes:
            fleet.processes = processes
            tap.main([three_guests, async_in_three_guests, every_order_in_guests, every_order_mixed, all_in_one_guest,
                      ten_lines, killed_guest, device_without_acc, nothing_in_the_logs], fleet)


if __name__ == "__main__":
    main()
