# SPDX-License-Identifier: MIT
"""Builds the plugin of QEMU that counts what a guest executes: tests/costs/count.c."""
import pathlib
import subprocess

import cache
import packages
import qemu
import step

SOURCES = [cache.CHECKOUT / "tests/costs" / name for name in ("count.c", "marker.h")]
HEADER = "include/qemu/qemu-plugin.h"


def header():
    """The folder with QEMU's qemu-plugin.h."""
    name, _ = qemu.source_key()
    base = cache.root() / f"qemu-base-{cache.key(name, *qemu.FLAGS)}" / "src"
    if not (base / HEADER).exists():
        step.fail("plugin", f"QEMU's source has no {HEADER}: build it first", "make qemu", kind=step.Unavailable)
    return (base / HEADER).parent


def build():
    """The path of the shared object."""
    packages.require("fetch", "qemu")
    include = header()

    def make(target: pathlib.Path):
        flags = subprocess.run(["pkg-config", "--cflags", "glib-2.0"], capture_output=True, text=True,
                               check=True).stdout.split()
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wno-unused-parameter",
                        "-Werror", f"-I{include}", *flags, "-o", target / "count.so", SOURCES[0]], check=True)
    return cache.entry(f"plugin-{cache.key(*SOURCES, include / 'qemu-plugin.h')}", make) / "count.so"
