#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The fuzzers of fuzz/, for so many inputs, always the same ones: nothing breaks. `make fuzz` goes on from there."""
import pathlib
import re
import subprocess

import tap

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
RUNS = {"packet": 400_000, "box": 500}
SECONDS = 900


def main():
    out = tap.Tap()
    for name, runs in RUNS.items():
        done = subprocess.run([CHECKOUT / "scripts/fuzz", "--runs", str(runs), name], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=SECONDS)
        executed = re.search(r"number_of_executed_units: (\d+)", done.stdout)
        out.check(done.returncode == 0 and executed and int(executed[1]) >= runs, f"{name}: no input breaks anything",
                  done.stdout[-4000:])
    out.exit()


if __name__ == "__main__":
    main()
