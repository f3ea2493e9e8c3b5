#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""README.md: its ten lines are those of examples/ten.c, its links and commands exist, and the walk without a VM works."""
import os
import pathlib
import re
import subprocess
import tempfile

import tap

CHECKOUT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("B", CHECKOUT / "build"))
README = (CHECKOUT / "README.md").read_text()
WEIGHTS = "1.000 2.000 3.000 4.000 5.000 6.000 7.000 8.000"


def ten_lines():
    """the ten lines of README.md are those of examples/ten.c"""
    shown = re.search(r"```c\n(.*?)```", README, re.S)[1]
    source = (CHECKOUT / "examples/ten.c").read_text()
    between = source.split("/* ten lines */\n")[1].split("\t/* that is all */")[0]
    assert shown.split() == between.split(), f"{shown}\n---\n{between}"


def links():
    """every file that README.md links to is there"""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (CHECKOUT / target).exists(), target


def verbs():
    """every make verb that README.md names is in the Makefile"""
    for verb in set(re.findall(r"^make (\w+)", README, re.M)):
        assert re.search(rf"^{verb}:", (CHECKOUT / "Makefile").read_text(), re.M), verb


def walk_without_vm():
    """the walk without a VM: three times ten.c on one file, and two print the weights that were looked for"""
    block = next(b for b in re.findall(r"```sh\n(.*?)```", README, re.S) if "build/bin/ten" in b)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        lines = [line for line in block.splitlines() if line != "make"]
        script = "\n".join(lines).replace("/dev/shm/box", f"{folder}/box").replace("build/", f"{BUILD}/")
        done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(WEIGHTS) == 2, done.stdout


tap.main([ten_lines, links, verbs, walk_without_vm])
