# SPDX-License-Identifier: MIT
"""What this machine has: how many cores for our work, and whether there is room for it."""
import math
import os
import pathlib
import shutil

import cache
import step

GIB = 1 << 30
CPU_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")
SHARED = pathlib.Path("/dev/shm")


def cores():
    """The cores that this process may use: a container may have fewer than the machine."""
    usable = len(os.sched_getaffinity(0))
    try:
        quota, period = CPU_QUOTA.read_text().split()
        usable = min(usable, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        pass  # no such file, or "max": no quota
    return max(usable, 1)


def available_mib():
    """Memory that can be had without swapping."""
    with open("/proc/meminfo") as info:
        rows = dict(line.split(":") for line in info)
    return int(rows["MemAvailable"].split()[0]) // 1024


def side_by_side(mib):
    """How many programs may run at once that take a core and so much memory each."""
    return max(min(cores(), available_mib() // mib), 1)


def require_space(disk_gib, memory_mib, shared_mib=0):
    """Refuses to begin what would end with a full disk or a killed build."""
    free = shutil.disk_usage(cache.root()).free
    if free < disk_gib * GIB:
        step.fail("disk", f"{cache.root()} has {free / GIB:.1f} GiB free, {disk_gib} are needed; "
                  "XDG_CACHE_HOME moves the cache", kind=step.Unavailable)
    available = available_mib()
    if available < memory_mib:
        step.fail("memory", f"{available} MiB available, {memory_mib} are needed",
                  kind=step.Unavailable)
    shared = shutil.disk_usage(SHARED).free >> 20 if SHARED.is_dir() else 0
    if shared < shared_mib:
        step.fail("memory", f"{SHARED}, where box files are, has {shared} MiB free, {shared_mib} are needed",
                  f"mount -o remount,size={2 * shared_mib}M {SHARED}", kind=step.Unavailable)
