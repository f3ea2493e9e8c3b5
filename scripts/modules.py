#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Builds the kernel module for each kernel: build/modules/<kernel>/*.ko.

    build-modules [--lint] [6.12|6.1|debug]...

The kernel's build system writes beside the sources, so each kernel gets a mirror of them in
build/modules/<kernel>/src. With --lint warnings are raised to W=1, and sparse is run (C=2).
"""
import argparse
import shutil

import cache
import kernel as kernels
import machine
import packages
import step

SOURCES = ["driver", "uapi", "tests/kunit"]
SUFFIXES = {".c", ".h", ""}


def build(name, lint=False, build_directory=None, coverage=False):
    """Builds for one kernel and returns the directory of the modules."""
    packages.require("kernel", *(["lint"] if lint else []))
    if not (cache.CHECKOUT / "Kbuild").exists():
        step.fail("modules", "the checkout has no Kbuild")
    entry = kernels.get(name)
    target = (build_directory or cache.CHECKOUT / "build") / "modules" / (name + ("-lint" if lint else ""))
    tree = target / "src"
    tree.mkdir(parents=True, exist_ok=True)
    with cache.lock("modules-" + cache.key(str(target))):
        for folder in SOURCES:
            cache.mirror(cache.CHECKOUT / folder, tree / folder,
                         lambda f: f.suffix not in SUFFIXES, prune=SUFFIXES - {""})
        kbuild = (cache.CHECKOUT / "Kbuild").read_bytes()
        if not (tree / "Kbuild").exists() or (tree / "Kbuild").read_bytes() != kbuild:
            (tree / "Kbuild").write_bytes(kbuild)
        if lint:
            # Everything is compiled again, so that every warning is seen.
            for item in tree.rglob("*.o"):
                item.unlink()
        # Type information for BPF would need pahole, and nothing here reads it.
        command = ["make", "-C", str(entry / "build"), f"M={tree}", f"-j{machine.cores()}",
                   "CONFIG_DEBUG_INFO_BTF_MODULES=",
                   *(["W=1", "C=2"] if lint else []), *(["GCOV_PROFILE=y"] if coverage else []), "modules"]
        log = target / "build.log"
        step.run(f"module for {name}" + (" (W=1, sparse)" if lint else ""), command, 15, log=log)
        for old in target.glob("*.ko"):
            old.unlink()
        for module in tree.glob("*.ko"):
            shutil.copy2(module, target)
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lint", action="store_true", help="W=1 and sparse")
    parser.add_argument("kernels", nargs="*", metavar="6.12|6.1|debug")
    options = parser.parse_args()
    for name in options.kernels or ["6.12", "6.1", "debug"]:
        build(name, options.lint)
    return 0


if __name__ == "__main__":
    step.main(main)
