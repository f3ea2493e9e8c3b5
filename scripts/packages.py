#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks that Debian's packages are there, and installs them when it may."""
import os
import pathlib
import subprocess
import sys
import time

import cache
import step

LIST = pathlib.Path(__file__).with_name("packages.list")
LISTS_MAX_AGE = 24 * 3600
PATIENT = ["-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"]


def groups():
    """{group: (packages, purpose)} of packages.list."""
    table = {}
    for line in LIST.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            group, rest = line.split(":", 1)
            names, _, purpose = rest.partition("#")
            table[group] = (names.split(), purpose.strip())
    return table


def missing(wanted):
    """Packages of the wanted groups that are not installed."""
    table = groups()
    names = sorted({name for group in wanted for name in table[group][0]})
    shown = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *names],
                           capture_output=True, text=True).stdout
    there = {row.split()[0] for row in shown.splitlines() if row.endswith(" installed")}
    return [name for name in names if name not in there]


def _lists_are_old():
    lists = [f.stat().st_mtime for f in pathlib.Path("/var/lib/apt/lists").glob("*Packages*")]
    stamp = pathlib.Path("/var/cache/apt/pkgcache.bin")
    newest = max(lists + ([stamp.stat().st_mtime] if stamp.exists() else []), default=0)
    return not lists or time.time() - newest > LISTS_MAX_AGE


def update(environment):
    step.run("apt-get update", ["apt-get", *PATIENT, "update", "-q"], 10, env=environment)


def require(*wanted):
    """Returns when the packages of these groups are installed; otherwise the step has failed."""
    lacking = missing(wanted)
    if not lacking:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *lacking]
    if os.geteuid() != 0:
        step.fail("packages", f"missing: {' '.join(lacking)}", "sudo " + " ".join(install),
                  kind=step.Unavailable)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with cache.lock("packages"):
        if _lists_are_old():
            update(environment)
        lacking = missing(wanted)
        if not lacking:
            return
        command = ["apt-get", *PATIENT, *install[1:4], *lacking]
        try:
            step.run(f"installing {len(lacking)} packages", command, 40, env=environment)
        except step.Failed:
            # The lists may name what the mirror has replaced since.
            update(environment)
            step.run(f"installing {len(lacking)} packages again", command, 40, env=environment)


def main():
    wanted = sys.argv[1:] or list(groups())
    require(*wanted)
    return 0


if __name__ == "__main__":
    step.main(main)
