# SPDX-License-Identifier: MIT
"""The guest's initramfs: a cached base (busybox, init, agent) and an overlay made per run.

The kernel unpacks concatenated cpio archives in order, so a run adds its files behind the base
without building an image. Dynamically linked programs bring their libraries, as ldd names them.
"""
import lzma
import os
import pathlib
import re
import shutil
import stat
import subprocess

import cache
import packages
import step

GUEST = pathlib.Path(__file__).with_name("guest")
BUSYBOX = pathlib.Path("/bin/busybox")
DIRECTORIES = """bin sbin usr usr/bin usr/sbin usr/lib lib lib/membox lib64 proc sys dev tmp etc root
mnt run var""".split()
CONSOLE = (5, 1)
ALIGNMENT = 4


class Archive:
    """Writes a cpio archive of the kernel's "newc" form; root owns everything in it."""

    def __init__(self):
        self.parts = []
        self.names = set()
        self.inode = 0

    def _add(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        self.names.add(name)
        encoded = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        for part in (header, data):
            self.parts.append(part + b"\0" * (-len(part) % ALIGNMENT))

    def directory(self, name):
        parent = os.path.dirname(name)
        if parent:
            self.directory(parent)
        if name not in self.names:
            self._add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        name = name.lstrip("/")
        if name in self.names:
            return
        if os.path.dirname(name):
            self.directory(os.path.dirname(name))
        self._add(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, numbers):
        self._add(name, stat.S_IFCHR | 0o600, device=numbers)

    def finish(self):
        self._add("TRAILER!!!", 0)
        data = b"".join(self.parts)
        return data + b"\0" * (-len(data) % 512)


def base():
    """The path of the cached base archive."""
    packages.require("vm", "user")
    key = cache.key(GUEST, BUSYBOX)

    def build(target):
        agent = target / "agent"
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
                        "-o", agent, GUEST / "agent.c"], check=True)
        archive = Archive()
        for name in DIRECTORIES:
            archive.directory(name)
        archive.device("dev/console", CONSOLE)
        archive.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
        applets = subprocess.run([BUSYBOX, "--list-full"], capture_output=True, text=True,
                                 check=True).stdout.split()
        for applet in applets:
            if applet not in archive.names:
                archive.link(applet, "/bin/busybox")
        archive.file("bin/agent", agent.read_bytes(), 0o755)
        archive.file("init", (GUEST / "init").read_bytes(), 0o755)
        archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        archive.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        (target / "base.cpio").write_bytes(archive.finish())
        agent.unlink()
    return cache.entry(f"image-{key}", build) / "base.cpio"


def libraries(program):
    """The shared libraries of a program, the dynamic linker among them."""
    shown = subprocess.run(["ldd", program], capture_output=True, text=True,
                           env={**os.environ, "LD_LIBRARY_PATH": str(cache.CHECKOUT / "build/lib")})
    if shown.returncode != 0:
        return []
    return [pathlib.Path(p) for p in re.findall(r"(?:=> )?(/\S+) \(0x", shown.stdout)]


def kernel_modules(entry, names):
    """[(path in the guest, contents)] of stock kernel modules and all that they need, in load order."""
    release = (entry / "release").read_text().strip()
    tree = entry / "lib/modules" / release
    if not (tree / "modules.dep").exists():
        with cache.lock(f"depmod-{release}"):
            subprocess.run(["/sbin/depmod", "-b", entry, release], check=True)
    depends = {}
    for row in (tree / "modules.dep").read_text().splitlines():
        path, _, needs = row.partition(":")
        depends[pathlib.Path(path).name.split(".ko")[0].replace("-", "_")] = (path, needs.split())
    ordered = []
    for name in names:
        if name not in depends:
            step.fail("guest image", f"kernel {release} has no module {name}")
        path, needs = depends[name]
        for one in [*reversed(needs), path]:
            if one not in ordered:
                ordered.append(one)
    result = []
    for path in ordered:
        data = (tree / path).read_bytes()
        if path.endswith(".xz"):
            data = lzma.decompress(data)
        result.append((f"/lib/modules/{pathlib.Path(path).name.removesuffix('.xz')}", data))
    return result


def overlay(files):
    """An archive of {path in the guest: bytes, or the path of a host file}."""
    archive = Archive()
    for place, what in files.items():
        if isinstance(what, bytes):
            archive.file(place, what)
            continue
        what = pathlib.Path(what)
        if what.is_dir():
            for file in sorted(what.rglob("*")):
                if file.is_file():
                    archive.file(f"{place}/{file.relative_to(what)}", file.read_bytes(),
                                 file.stat().st_mode & 0o755)
            continue
        data = what.read_bytes()
        archive.file(place, data, what.stat().st_mode & 0o755)
        if data[:4] == b"\x7fELF" and os.access(what, os.X_OK):
            for library in libraries(what):
                archive.file(str(library), library.read_bytes(), 0o755)
    return archive.finish()


def write(path, files):
    """Writes the initramfs of one run: the base and the overlay behind it."""
    with open(path, "wb") as out:
        with open(base(), "rb") as first:
            shutil.copyfileobj(first, out)
        out.write(overlay(files))
