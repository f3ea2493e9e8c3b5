#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks that Debian's packages are there, and installs them when it may."""
import os
import pathlib
import shutil
import subprocess
import sys
import time

import cache
import step

LIST = pathlib.Path(__file__).with_name("packages.list")
LISTS_MAX_AGE = 24 * 3600
MIB = 1 << 20
GIB = 1 << 30


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
            step.run("apt-get update", ["apt-get", "update", "-q"], 10, env=environment)
        lacking = missing(wanted)
        if lacking:
            step.run(f"installing {len(lacking)} packages",
                     ["apt-get", "-o", "DPkg::Lock::Timeout=120", *install[1:4], *lacking], 40,
                     env=environment)


def require_space(disk_gib, memory_mib):
    """Refuses to begin what would end with a full disk or a killed build."""
    free = shutil.disk_usage(cache.root()).free
    if free < disk_gib * GIB:
        step.fail("disk", f"{cache.root()} has {free / GIB:.1f} GiB free, {disk_gib} are needed; "
                  "XDG_CACHE_HOME moves the cache", kind=step.Unavailable)
    with open("/proc/meminfo") as info:
        rows = dict(line.split(":") for line in info)
    available = int(rows["MemAvailable"].split()[0]) // 1024
    if available < memory_mib:
        step.fail("memory", f"{available} MiB available, {memory_mib} are needed",
                  kind=step.Unavailable)


def main():
    wanted = sys.argv[1:] or list(groups())
    require(*wanted)
    return 0


if __name__ == "__main__":
    step.main(main)
