#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Gets the kernels of the test guests into the cache: 6.12 and 6.1 as Debian ships them, debug.

    build-kernel [--print] [6.12|6.1|debug|source]...

Stock kernels are unpacked from their packages together with the headers that modules are built
against; nothing is installed. The debug kernel is built from Debian's linux-source-6.12 with
the options of kernel-debug.config. KERNEL_SRC=<directory> takes the place of that package.
An entry holds: bzImage, release, build/ (what `make -C` takes for modules), modules/ (stock).
"""
import argparse
import lzma
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile

import cache
import debian
import machine
import packages
import step

STOCK = {"6.12": r"linux-image-6\.12\.[0-9.]+\+deb12-amd64", "6.1": r"linux-image-6\.1\.0-[0-9]+-amd64"}
SOURCE_PACKAGE = "linux-source-6.12"
STOCK_DISK_GIB, DEBUG_DISK_GIB, MEMORY_MIB = 2, 5, 1500
FRAGMENT = pathlib.Path(__file__).with_name("kernel-debug.config")
# Offsets in a bzImage (Documentation/arch/x86/boot.rst); its payload ends with the unpacked size.
SETUP_SECTORS, PAYLOAD, PAYLOAD_TRAILER = 0x1f1, 0x248, 4


def numbers(name):
    return [int(n) for n in re.findall(r"\d+", name)]


def stock(series):
    """The cache entry of a stock kernel; whichever revision is cached is kept and used."""
    known = sorted(cache.root().glob(f"kernel-{series}-*"), key=lambda p: numbers(p.name))
    known = [path for path in known if not path.name.endswith(".partial")]
    if known:
        return known[-1]
    machine.require_space(STOCK_DISK_GIB, MEMORY_MIB)
    packages.require("fetch", "kernel")
    debian.prepare()
    names = sorted(debian.binary_names(STOCK[series]), key=numbers, reverse=True)
    if not names:
        step.fail(f"kernel {series}", "apt knows no such package", step.repeat_command(),
                  kind=step.Unavailable)
    image = names[0]
    release = image[len("linux-image-"):]
    return cache.entry(f"kernel-{series}-{release}", lambda to: unpack_stock(to, image, release))


def unpack_stock(target, image, release):
    """Image, headers, and the tools that build modules, with their links made relative."""
    step.say(f"==> unpacking {image} and its headers (about 0:15)")
    headers = f"linux-headers-{release}"
    version = debian.unpack_binary(image, target)
    for name in (headers, debian.depends(headers, r"linux-headers-.*-common"),
                 debian.depends(headers, r"linux-kbuild-.*")):
        debian.unpack_binary(name, target, re.escape(version) if name == headers else ".*")
    shutil.copy(target / f"boot/vmlinuz-{release}", target / "bzImage")
    (target / "release").write_text(release + "\n")
    final = cache.root() / target.name.replace(".partial", "")
    for file in (target / "usr/src").rglob("*"):
        if file.is_symlink() and os.readlink(file).startswith("/usr/"):
            link = os.readlink(file)
            file.unlink()
            file.symlink_to(str(final) + link)
    # Debian's Makefile of the flavour names its sources by absolute paths.
    makefile = target / "usr/src" / headers / "Makefile"
    text = makefile.read_text()
    makefile.write_text(text.replace("/usr/src/", f"{final}/usr/src/"))
    (target / "build").symlink_to(f"usr/src/{headers}")
    (target / "modules").symlink_to(f"lib/modules/{release}/kernel")
    shutil.rmtree(target / "boot")


def source():
    """The kernel's source tree, unpacked (also where checkpatch comes from)."""
    local = os.environ.get("KERNEL_SRC")
    if local:
        return pathlib.Path(local).resolve()
    known = [p for p in sorted(cache.root().glob("kernel-source-*")) if p.suffix != ".partial"]
    if known:
        return known[-1]
    packages.require("fetch")
    debian.prepare()
    version = debian.binary_versions(SOURCE_PACKAGE)[0]

    def unpack(target):
        step.say(f"==> downloading {SOURCE_PACKAGE} {version} (about 0:10)")
        debian.unpack_binary(SOURCE_PACKAGE, target)
        tarball = target / "usr/src" / f"{SOURCE_PACKAGE}.tar.xz"
        step.run("unpacking the kernel's source",
                 ["tar", "-xJf", str(tarball), "-C", str(target), "--strip-components=1"], 30)
        shutil.rmtree(target / "usr/src")
    return cache.entry("kernel-source-" + re.sub(r"[^0-9a-z.+-]", "_", version), unpack)


def debug():
    if not list(cache.root().glob("kernel-debug-*/bzImage")):
        machine.require_space(DEBUG_DISK_GIB, MEMORY_MIB)
    packages.require("kernel")
    tree = source()
    compiler = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=True).stdout.strip()
    entry = f"kernel-debug-{cache.key(tree.name, FRAGMENT, compiler)}"
    if (cache.root() / entry).is_dir():
        return cache.root() / entry
    with cache.lock(entry):
        if not (cache.root() / entry).is_dir():
            build_debug(tree, cache.root() / f"{entry}.partial", cache.root() / entry)
    return cache.root() / entry


def build_debug(tree, partial, final):
    """Builds in the partial directory, which an interrupted build leaves to be continued."""
    output = partial / "build"
    output.mkdir(parents=True, exist_ok=True)
    make = ["make", "-s", "-C", str(tree), f"O={output}", "ARCH=x86_64", "KBUILD_BUILD_USER=membox",
            "KBUILD_BUILD_HOST=membox", f"-j{machine.cores()}"]
    if not (output / ".config").exists():
        step.run("debug kernel: tinyconfig", [*make, "tinyconfig"], 10)
        with open(output / ".config", "a") as config:
            config.write(FRAGMENT.read_text())
        step.run("debug kernel: olddefconfig", [*make, "olddefconfig"], 5)
    got = (output / ".config").read_text().splitlines()
    wanted = [line for line in FRAGMENT.read_text().splitlines()
              if line.startswith("CONFIG_") or line.endswith("is not set")]
    absent = [line for line in wanted if line not in got and not
              (line.startswith("# ") and f"{line.split()[1]}=y" not in got)]
    if absent:
        (output / ".config").unlink()
        step.fail("debug kernel", f"kconfig did not take: {', '.join(absent)}",
                  step.repeat_command())
    step.run("building the debug kernel", [*make, "bzImage", "modules"], 500)
    shutil.copy(output / "arch/x86/boot/bzImage", partial / "bzImage")
    shutil.copy(output / "include/config/kernel.release", partial / "release")
    # The tree names its output directory in a generated Makefile.
    makefile = output / "Makefile"
    makefile.write_text(makefile.read_text().replace(str(partial), str(final)))
    partial.rename(final)


def boot_image(entry):
    """What QEMU's -kernel takes: of stock kernels the unpacked ELF file, entered by the PVH protocol.

    A guest under emulation takes seconds to unpack its own kernel; the host does it once.
    """
    image, unpacked = entry / "bzImage", entry / "vmlinux"
    if "kernel-debug" in entry.name:
        return image  # built without PVH
    if not unpacked.exists():
        data = image.read_bytes()
        sectors = data[SETUP_SECTORS] or 4
        offset, length = struct.unpack_from("<II", data, PAYLOAD)
        start = (sectors + 1) * 512 + offset
        payload = data[start:start + length - PAYLOAD_TRAILER]
        with tempfile.NamedTemporaryFile(dir=entry, delete=False) as out:
            if payload.startswith(b"\xfd7zXZ"):
                out.write(lzma.LZMADecompressor().decompress(payload))
            else:
                out.write(subprocess.run(["zstd", "-dcq"], input=payload, capture_output=True, check=True).stdout)
        os.rename(out.name, unpacked)
    return unpacked


def get(kernel):
    """The cache entry of one kernel by the name that tests use."""
    return debug() if kernel == "debug" else stock(kernel)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--print", action="store_true", help="print the entries' directories")
    parser.add_argument("kernels", nargs="*", metavar="6.12|6.1|debug|source")
    options = parser.parse_args()
    for kernel in options.kernels or ["6.12", "6.1", "debug"]:
        entry = source() if kernel == "source" else get(kernel)
        if options.print:
            print(entry)
    return 0


if __name__ == "__main__":
    step.main(main)
