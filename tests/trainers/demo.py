#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The demo itself: it trains, its figures are in its file; a killed worker is named; an interrupt ends its guests."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import tap

DEMO = pathlib.Path(__file__).parents[2] / "scripts/demo"
PATIENCE = 600
KEYS = {"accuracy", "samples_per_second", "dma_to_device_bytes", "dma_from_device_bytes", "operations", "interrupts",
        "doorbells", "accelerator"}


def start(*options):
    return subprocess.Popen([DEMO, *map(str, options)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            start_new_session=True)


def run(*options):
    """(exit status, output)"""
    child = start(*options)
    try:
        output = child.communicate(timeout=PATIENCE)[0]
        return child.returncode, output
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait()


def trains(folder):
    """three machines train to 80 %, with equal weights, and the figures are in the summary's file"""
    status, output = run("--json", folder / "demo.json")
    assert status == 0 and "demo passed" in output.splitlines()[-1], output[-3000:]
    told = json.loads((folder / "demo.json").read_text())
    assert KEYS <= set(told), KEYS - set(told)
    assert told["accuracy"] >= 0.80 and told["wrong"] == [], told["wrong"]
    master, *workers = told["computers"]
    assert len(workers) == 2 and workers[0]["weights"] == workers[1]["weights"], told
    assert len(workers[0]["weights"]) == 4, "one a epoch"
    for name in ("dma_to_device_bytes", "dma_from_device_bytes", "operations", "interrupts", "doorbells"):
        assert told[name] == sum(computer[name] for computer in told["computers"]) > 0, name


def names_a_killed_worker(_folder):
    """with a worker's machine killed the others end with an error that names it"""
    status, output = run("--kill-worker")
    assert status == 0, output[-3000:]
    told = [line for line in output.splitlines() if "exit status" in line]
    assert len(told) == 2 and all("exit status 1 " in line and "rank 2 died" in line for line in told), told


def machines_of(parent):
    """Process numbers of the guests that a process has started."""
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            if f"\nPPid:\t{parent}\n" in status.read_text() and "qemu" in os.readlink(status.with_name("exe")):
                found.append(int(status.parent.name))
        except OSError:
            pass  # it has just ended
    return found


def is_interrupted(_folder):
    """an interrupt in mid-training ends the three machines"""
    child = start()
    begin, shown, found = time.monotonic(), "", []
    while " step " not in shown and time.monotonic() < begin + PATIENCE:
        line = child.stdout.readline()
        assert line, shown
        shown += line
    found = machines_of(child.pid)
    os.killpg(child.pid, signal.SIGINT)
    rest = child.communicate(timeout=60)[0]
    assert child.returncode == 130 and "interrupted" in rest, f"{child.returncode}\n{rest}"
    assert len(found) == 3, found
    assert not [pid for pid in found if pathlib.Path(f"/proc/{pid}").exists()], found


with tempfile.TemporaryDirectory(prefix="membox-demo-test-") as place:
    tap.main([trains, names_a_killed_worker, is_interrupted], pathlib.Path(place))
