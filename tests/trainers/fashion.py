#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The parameter servers train Fashion-MNIST in processes on a box file: accuracy, bits, bytes, errors."""
import itertools
import pathlib
import signal
import sys
import tempfile

import tap

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
from trainers import MNIST, Box, Rank, bytes_as_promised, last_of, local  # noqa: E402 (the path comes first)

SHORT = "--train 1200 --test 200 --epochs 2 --batch 20"
WORKERS = 3
PAUSES = [0, 3, 6]  # milliseconds before each step: who comes first


def reaches_80_percent():
    """two workers of ps reach 80 % with the defaults, with equal weights at each epoch"""
    with Box() as box:
        before = box.usage()
        master, *workers = [rank.report for rank in box.train(3, "ps")]
        assert box.usage() == before, f"{box.usage()}\ninstead of\n{before}"
    wanted = local(3)
    for worker in workers:
        assert worker["accuracy"] >= 0.80, worker["accuracy"]
        assert worker["weights"] == wanted["weights"], f"{worker['weights']}\n{wanted['weights']}"
        assert bytes_as_promised(worker), worker
    assert master["serve_to_device_bytes"] == master["serve_from_device_bytes"] == 0, master
    assert master["steps"] == workers[0]["steps"] == wanted["steps"]


def async_reaches_80_percent():
    """two workers of ps-async reach 80 % with the defaults"""
    with Box() as box:
        master, *workers = [rank.report for rank in box.train(3, "ps-async")]
    assert last_of(workers)["accuracy"] >= 0.80, workers
    assert all(bytes_as_promised(worker) for worker in workers), workers
    assert master["updates"] == sum(worker["steps"] for worker in workers), master
    assert master["serve_to_device_bytes"] == master["serve_from_device_bytes"] == 0, master


def order_of_folding_matters():
    """the fold in another order gives other bits, so the next case can fail"""
    straight = local(WORKERS + 1, SHORT)["weights"]
    for order in ("1-3-2", "3-2-1", "2-3-1"):
        assert local(WORKERS + 1, f"{SHORT} --order {order}")["weights"] != straight, order


def equals_the_fold_in_every_order():
    """three workers arriving in each of six orders equal the single-process fold, bit for bit"""
    wanted = local(WORKERS + 1, SHORT)["weights"]
    with Box() as box:
        for order in itertools.permutations(PAUSES):
            each = {rank + 1: f"--pause {pause}" for rank, pause in enumerate(order)}
            for rank in box.train(WORKERS + 1, "ps", SHORT, each)[1:]:
                assert rank.report["weights"] == wanted, f"pauses {order}"


def without_acc():
    """a box that cannot add: the same bits, but the master's counters move"""
    wanted = local(3, SHORT)["weights"]
    with Box() as box:
        master, *workers = [rank.report for rank in
                            box.train(3, "ps", SHORT, environment={"MEMBOX_CAPS_OFF": "acc,vector"})]
    assert all(worker["weights"] == wanted for worker in workers)
    assert all(bytes_as_promised(worker) for worker in workers)
    assert master["serve_from_device_bytes"] > master["steps"] * master["model_bytes"], master


def killed_worker():
    """a worker that is killed is an error with its name on the others, in both methods"""
    for method in ("ps", "ps-async"):
        with Box() as box:
            before = box.usage()
            ranks = [box.start(rank, 4, method, "--epochs 100 --pause 5") for rank in range(4)]
            assert ranks[2].wait_for("step "), ranks[2].output
            ranks[2].process.kill()
            ranks[2].wait()
            for rank in (0, 1, 3):
                status = ranks[rank].wait()
                assert status == 1 and "rank 2 died" in ranks[rank].output, f"{status}\n{ranks[rank].output}"
            assert box.usage() == before, box.usage()


def killed_master():
    """a master that is killed is an error with its name on the workers"""
    with Box() as box:
        ranks = [box.start(rank, 3, "ps", "--epochs 100 --pause 5") for rank in range(3)]
        assert ranks[1].wait_for("step "), ranks[1].output
        ranks[0].process.kill()
        ranks[0].wait()
        for rank in ranks[1:]:
            status = rank.wait()
            assert status == 1 and "rank 0 (the master) died" in rank.output, f"{status}\n{rank.output}"


def stopped_worker():
    """a worker that is stopped is late, and named"""
    with Box() as box:
        ranks = [box.start(rank, 3, "ps:timeout=5", "--epochs 100 --pause 5") for rank in range(3)]
        assert ranks[2].wait_for("step "), ranks[2].output
        ranks[2].process.send_signal(signal.SIGSTOP)
        for rank in ranks[:2]:
            status = rank.wait()
            assert status == 1 and "rank 2 is late" in rank.output, f"{status}\n{rank.output}"
        ranks[2].process.send_signal(signal.SIGCONT)
        status = ranks[2].wait()
        assert status == 1 and "rank 2 is late" in ranks[2].output, f"{status}\n{ranks[2].output}"


def other_shape():
    """another number of hidden units is an error that names the tensor"""
    with Box() as box:
        ranks = [box.start(rank, 3, "ps", f"{SHORT} --hidden {48 if rank == 2 else 32}") for rank in range(3)]
        for rank in ranks:
            status = rank.wait()
            assert status == 1 and 'rank 2 has "W1 f32 37632", rank 0 has "W1 f32 25088"' in rank.output, \
                f"{status}\n{rank.output}"


def subset():
    """a subset that was cut out trains to the same bits"""
    with tempfile.TemporaryDirectory() as folder:
        cut = Rank([MNIST, "--make-subset", folder, "--train", "1200", "--test", "200"])
        assert cut.wait() == 0, cut.output
        again = local(3, f"--path {folder} --train 0 --test 0 --epochs 2 --batch 20")
    wanted = local(3, SHORT)
    assert again["weights"] == wanted["weights"] and again["correct"] == wanted["correct"]


tap.main([reaches_80_percent, async_reaches_80_percent, order_of_folding_matters, equals_the_fold_in_every_order,
          without_acc, killed_worker, killed_master, stopped_worker, other_shape, subset])
