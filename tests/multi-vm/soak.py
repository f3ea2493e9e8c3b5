#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A short soak: two guests and host processes at work while all kinds of faults strike; nothing is wrong."""
import json
import pathlib
import subprocess
import sys
import tempfile

import tap

CHECKOUT = pathlib.Path(__file__).parents[2]
LIMIT = 900


def soak(t, *arguments):
    """Runs scripts/soak, showing what it says; its result."""
    with tempfile.TemporaryDirectory(prefix="membox-soak-") as folder:
        path = pathlib.Path(folder) / "soak.json"
        done = subprocess.run([CHECKOUT / "scripts/soak", *arguments, "--json", path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
        t.comment(done.stdout)
        result = json.loads(path.read_text())
    assert (done.returncode == 0) == (result["wrong"] == 0), done.returncode
    return result


def main():
    t = tap.Tap(3)
    result = soak(t, "--guests", "2", "--time", "45")
    t.equal(result["wrong"], 0, "what was acknowledged is in the box, and of the rest what its outcome records say")
    t.check(result["operations"] > 100, "operations were compared", result)
    t.check(sum(n > 0 for n in result["by_fault"].values()) >= 2, "faults of several kinds struck", result)
    t.exit()


if __name__ == "__main__":
    sys.exit(main())
