#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Builds qemu-system-x86_64 with the checkout's device in it; --print names the binary.

Debian's source of QEMU 10.0 is unpacked, configured and built once (qemu-base-<key> in the cache,
about five minutes). The device is mirrored into that tree, so a change to it rebuilds in seconds.
The binary is copied to qemu-<hash of all its sources>: two checkouts do not disturb each other.
QEMU_SRC=<directory> takes the place of the download.
"""
import argparse
import bz2
import os
import pathlib
import re
import shutil

import cache
import debian
import machine
import packages
import step

SERIES = r"1:10\.0\."
FLAGS = """--target-list=x86_64-softmmu --without-default-features --without-default-devices
--with-devices-x86_64=membox --enable-system --enable-tcg --enable-kvm --enable-attr
--enable-plugins --disable-docs --disable-tools --disable-werror --disable-download
--disable-install-blobs""".split()
# What a guest of ours or a test of the device needs; everything else is left out.
DEVICES = """Q35 HPET SERIAL_ISA SERIAL_PCI PCIE_PORT IOH3420 XIO3130 PCI_TESTDEV EDU VTD
VIRTIO_PCI VIRTIO_NET VIRTIO_SERIAL VIRTIO_BLK VIRTIO_RNG NVME_PCI IVSHMEM_DEVICE TEST_DEVICES
ISA_TESTDEV ISA_DEBUG""".split()
# The checkout's folders and where they stand in QEMU's tree.
DROPPED = {"qemu-device": "", "engine": "engine", "uapi": "uapi"}
SUFFIXES = {".c", ".h", ".build", ".inc", ""}
BINARY = "qemu-system-x86_64"
KEEP = 12
DISK_GIB = 3
MEMORY_MIB = 1500


def source_key():
    """(key, fetch): names the base and can put its source into a directory."""
    local = os.environ.get("QEMU_SRC")
    if local:
        local = pathlib.Path(local).resolve()
        version = (local / "VERSION").read_text().strip()
        return f"{version} {local}", lambda target: shutil.copytree(local, target, symlinks=True)
    # What is in the cache is good enough: the mirror is asked only when nothing is.
    known = sorted(cache.root().glob("qemu-source-*"))
    if not known:
        debian.prepare()
        for version in debian.source_versions("qemu", SERIES):
            name = "qemu-source-" + re.sub(r"[^0-9a-z.+-]", "_", version)
            with cache.lock("qemu-source"):
                partial = cache.root() / "partial-qemu-source"
                shutil.rmtree(partial, ignore_errors=True)
                if debian.unpack_source("qemu", version, partial):
                    if not (cache.root() / name).is_dir():
                        partial.rename(cache.root() / name)
                    known = [cache.root() / name]
                    break
    if not known:
        step.fail("QEMU's source", "no version of the 10.0 series can be fetched; "
                  "QEMU_SRC=<directory> takes an unpacked source", step.repeat_command(),
                  kind=step.Unavailable)
    return known[-1].name, lambda target: shutil.copytree(known[-1], target, symlinks=True)


def build_tools():
    """meson and pycotap of backports, unpacked: returns a PYTHONPATH."""
    def fetch(target):
        debian.prepare()
        debian.unpack_binary("meson", target, r"1\.[5-9]|1\.[1-9][0-9]")
        debian.unpack_binary("python3-pycotap", target)
    return cache.entry("meson", fetch) / "usr/lib/python3/dist-packages"


def prepare_base(base, fetch):
    """Unpacks and configures the tree; the build itself is resumable and needs no rename."""
    if (base / "build/build.ninja").exists():
        return
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    source = base / "src"
    fetch(source)
    # The tarball has no firmware; the build only wants the files to exist.
    for name in re.findall(r"'(edk2-[^']*\.fd)", (source / "pc-bios/meson.build").read_text()):
        blob = source / "pc-bios" / f"{name}.bz2"
        if not blob.exists():
            blob.write_bytes(bz2.compress(b""))
    (source / "configs/devices/x86_64-softmmu/membox.mak").write_text(
        "".join(f"CONFIG_{name}=y\n" for name in DEVICES))
    (base / "build").mkdir()
    step.run("configuring QEMU", [str(source / "configure"), "--python=/usr/bin/python3", *FLAGS],
             40, cwd=base / "build", env=environment())


def environment():
    return {**os.environ, "PYTHONPATH": str(build_tools()), "PYTHONDONTWRITEBYTECODE": "1"}


def edit(path, text):
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def drop_in(source):
    """Mirrors the device into hw/misc/membox and hooks it into QEMU's build."""
    misc = source / "hw/misc"
    present = (cache.CHECKOUT / "qemu-device/meson.build").exists()
    for folder, place in DROPPED.items():
        cache.mirror(cache.CHECKOUT / folder if present else pathlib.Path("/nonexistent"),
                     misc / "membox" / place,
                     lambda f: f.suffix not in SUFFIXES,
                     keep=("engine", "uapi") if not place else ())
    for name, line in (("meson.build", "subdir('membox')"), ("Kconfig", "source membox/Kconfig")):
        text = re.sub(rf"^.*{re.escape(line)}\n", "", (misc / name).read_text(), flags=re.M)
        edit(misc / name, text + (f"{line}\n" if present else ""))
    # A device that issues trace events has its list beside it.
    traces = source / "meson.build"
    text = re.sub(r"^  'hw/misc/membox',\n", "", traces.read_text(), flags=re.M)
    if (misc / "membox/trace-events").exists():
        text = text.replace("    'hw/misc',\n", "    'hw/misc',\n  'hw/misc/membox',\n")
    edit(traces, text)
    edit(source / "configs/devices/x86_64-softmmu/membox.mak",
         "".join(f"CONFIG_{name}=y\n" for name in DEVICES + (["MEMBOX"] if present else [])))


def build():
    if not list(cache.root().glob("qemu-base-*/build/build.ninja")):
        machine.require_space(DISK_GIB, MEMORY_MIB)
    packages.require("fetch", "qemu")
    name, fetch = source_key()
    base_key = cache.key(name, *FLAGS)
    trees = [cache.CHECKOUT / folder for folder in DROPPED]
    key = cache.key(base_key, *DEVICES, *[t for t in trees if t.is_dir()])
    final = cache.root() / f"qemu-{key}"
    if (final / BINARY).exists():
        os.utime(final)
        return final / BINARY
    base = cache.root() / f"qemu-base-{base_key}"
    with cache.lock(base.name):
        prepare_base(base, fetch)
        first = not (base / "build" / BINARY).exists()
        drop_in(base / "src")
        step.run("building QEMU (first time)" if first else "building QEMU",
                 ["ninja", "-C", str(base / "build"), BINARY], 300 if first else 15,
                 env=environment())
        partial = cache.root() / f"qemu-{key}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        shutil.copy2(base / "build" / BINARY, partial)
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        forget_old()
    return final / BINARY


def forget_old():
    """Removes the binaries that were not asked for lately; each edit of the device leaves one."""
    binaries = sorted(cache.root().glob("qemu-*/" + BINARY), key=lambda path: path.parent.stat().st_mtime)
    for old in binaries[:-KEEP]:
        shutil.rmtree(old.parent, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--print", action="store_true", help="print the path of the binary")
    options = parser.parse_args()
    binary = build()
    if options.print:
        print(binary)
    return 0


if __name__ == "__main__":
    step.main(main)
