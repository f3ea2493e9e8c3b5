#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every bad packet on the file back end: its own precise error, and not a byte of the box is changed."""
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
import badpackets  # noqa: E402
import tap  # noqa: E402

BUILD = pathlib.Path(os.environ.get("B", pathlib.Path(__file__).parents[2] / "build"))


def main():
    t = tap.Tap()
    with tempfile.TemporaryDirectory(prefix="membox-badpackets-",
                                     dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = pathlib.Path(folder) / "box"
        subprocess.run([BUILD / "bin/memboxctl", "format", path, "--size", "64M", "--ports", "8"], check=True,
                       stdout=subprocess.DEVNULL, timeout=60)
        watch = badpackets.Watch(BUILD / "guest/badpackets", path)
        os.environ["BADPACKETS_EACH"] = "1"
        status, output = badpackets.on_host(watch)
        t.forward(output)
        t.check(status == 0, "the program ends well", f"exit status {status}")
        watch.check(t, "the bad packets changed nothing in the box but counters")
        done = subprocess.run([BUILD / "bin/memboxctl", "fsck", path], capture_output=True, text=True, timeout=60)
        t.check(done.returncode == 0, "the checker finds nothing", done.stdout + done.stderr)
    t.exit()


if __name__ == "__main__":
    main()
