#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Up to ten booted machines are killed, one after the other, at work on a box with a host process; nothing is lost."""
import sys

import tap
from soak import soak


def main():
    t = tap.Tap(2)
    result = soak(t, "--guests", "2", "--faults", "machine", "--count", "10", "--time", "150")
    t.equal(result["wrong"], 0, "what was acknowledged is in the box, and of the rest what its outcome records say")
    t.check(result["by_fault"]["machine"] >= 1, "machines were killed (ten, or as many as 150 s are enough for)", result)
    t.exit()


if __name__ == "__main__":
    sys.exit(main())
