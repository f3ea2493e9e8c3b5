#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The parameter servers train scikit-learn's digits on a box file; the ten-line trainer runs."""
import os
import pathlib
import sys

import cache
import debian
import tap

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
from trainers import BUILD, Box, Rank, last_of, local  # noqa: E402 (the path comes first)

PACKAGE = "python3-sklearn"
MEMBER = "usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz"


def digits_file():
    """The CSV file of Debian's package, which need not be installed for it."""
    installed = pathlib.Path("/") / MEMBER
    if installed.exists():
        return installed
    folder = cache.root() / "digits"
    with cache.lock("digits"):
        if not (folder / MEMBER).exists():
            debian.prepare()
            folder.mkdir(parents=True, exist_ok=True)
            debian.unpack_binary(PACKAGE, folder)
    return folder / MEMBER


def digits():
    """two workers train digits to 85 %, and equal the single-process fold"""
    options = f"--data digits --path {digits_file()}"
    wanted = local(3, options)
    assert wanted["accuracy"] >= 0.85, wanted["accuracy"]
    with Box("16M") as box:
        for worker in box.train(3, "ps", options)[1:]:
            assert worker.report["weights"] == wanted["weights"]
            assert worker.report["accuracy"] == wanted["accuracy"]
        workers = [rank.report for rank in box.train(4, "ps-async", options)[1:]]
        assert last_of(workers)["accuracy"] >= 0.80, workers


def digits_without_a_master():
    """three ranks train digits by all-reduce, and equal the single-process fold of three shares"""
    options = f"--data digits --path {digits_file()}"
    wanted = local(4, options)
    with Box("16M") as box:
        for rank in box.train(3, "allreduce", options):
            assert rank.report["weights"] == wanted["weights"]
            assert rank.report["accuracy"] == wanted["accuracy"] >= 0.80
            moved = rank.report["dma_to_device_bytes"] + rank.report["dma_from_device_bytes"]
            steps = rank.report["steps"] * (2 * rank.report["model_bytes"] + 16 * 4) + rank.report["constant_bytes"]
            assert moved - steps in (0, 16 * 4), (moved, steps)  # the words of closing may be counted


def ten_lines():
    """the ten-line trainer finds its weights, configured by the environment alone"""
    with Box("16M") as box:
        environment = {"MEMBOX": f"file:{box.path}", "MEMBOX_METHOD": "ps:steps=200", "MEMBOX_RANKS": "3"}
        ranks = [Rank([BUILD / "bin/ten"], environment=environment) for _ in range(3)]
        outputs = sorted(rank.output for rank in ranks if rank.wait() == 0)
    assert outputs == ["", *2 * ["1.000 2.000 3.000 4.000 5.000 6.000 7.000 8.000"]], \
        "\n".join(rank.output for rank in ranks)


def ten_lines_fail():
    """the ten-line trainer, which checks one call, says what was wrong"""
    for name in ("MEMBOX", "MEMBOX_METHOD", "MEMBOX_RANKS"):
        os.environ.pop(name, None)
    rank = Rank([BUILD / "bin/ten"], environment={"MEMBOX": "file:/nonexistent", "MEMBOX_RANKS": "2"})
    assert rank.wait() == 1 and "/nonexistent" in rank.output, rank.output


tap.main([digits, digits_without_a_master, ten_lines, ten_lines_fail])
