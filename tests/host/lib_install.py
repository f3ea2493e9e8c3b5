#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What `make install` installs is a library: only the names of its headers, all of them, versioned; programs in
C and C++ find it with pkg-config, linked either way; every call has a manual page, and udev its rule."""
import os
import pathlib
import re
import subprocess
import tempfile

import tap

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = """
#include <membox/membox.h>
#include <membox/train.h>
#include <stdio.h>
int main(void)
{
	struct membox_shape shape = { MEMBOX_F32, 10, 0 };
	struct membox_format_opts opts = { sizeof(opts), 0, 16 << 20, 0, 8, 4, 0 };
	float ones[10] = { 1 }, got[10];
	struct membox_param *param;
	struct membox *box;

	if (membox_format(BOX, &opts) || membox_open("file:" BOX, NULL, &box) ||
	    membox_param_get(box, "w", &shape, 0, &param) ||
	    membox_acc(param, 0, 10, ones, MEMBOX_F32, 2) || membox_read(param, 0, 10, got, NULL)) {
		fprintf(stderr, "%s\\n", membox_error());
		return 1;
	}
	membox_close(box);
	return got[0] == 2 ? 0 : 1;
}
"""


def run(*words, **options):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def declared(root):
    names = set()
    for header in ("membox.h", "train.h"):
        source = (root / "include/membox" / header).read_text()
        source = re.sub(r"/\*.*?\*/", "", source, flags=re.S)
        names |= set(re.findall(r"\b(membox_\w+)\s*\([^;{)]*\)\s*;", source))
        names |= set(re.findall(r"\b(membox_\w+)\s*\((?:[^;{()]|\([^()]*\))*\)\s*;", source))
    return names


def exports_what_its_headers_declare(root, _place):
    out = run("nm", "-D", "--defined-only", root / "lib/libmembox.so.1")
    symbols = [line.split()[-1] for line in out.splitlines() if line.split()[-2] in "TDBRVW"]
    for symbol in symbols:
        assert re.fullmatch(r"membox_\w+@@MEMBOX_[\d.]+", symbol), f"{symbol} is exported"
    exported = {symbol.split("@")[0] for symbol in symbols}
    assert exported == declared(root), f"only one of both has {sorted(exported ^ declared(root))}"


def the_archive_keeps_its_insides_to_itself(root, _place):
    out = run("nm", "--defined-only", "--extern-only", root / "lib/libmembox.a")
    names = {line.split()[2] for line in out.splitlines() if len(line.split()) == 3}
    assert names and all(name.startswith("membox_") for name in names), names


def it_has_its_names(root, _place):
    assert "SONAME" in run("objdump", "-p", root / "lib/libmembox.so")
    assert re.search(r"SONAME\s+libmembox\.so\.1\n", run("objdump", "-p", root / "lib/libmembox.so"))
    assert (root / "lib/libmembox.so").resolve() == (root / "lib/libmembox.so.1").resolve()
    assert not re.search(r"NEEDED\s+libpci", run("objdump", "-p", root / "lib/libmembox.so"))


def programs_find_it(root, place):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(root / "lib/pkgconfig"), "LD_LIBRARY_PATH": str(root / "lib")}
    config = ["pkg-config", f"--define-variable=prefix={root}", f"--define-variable=includedir={root}/include",
              f"--define-variable=libdir={root}/lib"]
    flags = run(*config, "--cflags", "--libs", "membox", env=environment).split()
    static = run(*config, "--cflags", "--static", "--libs", "membox", env=environment).split()
    box = place / "box"
    for name, compiler, standard in (("c", "gcc", "c11"), ("cc", "g++", "c++17")):
        (place / f"p.{name}").write_text(PROGRAM)
        common = [compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", f'-DBOX="{box}"', place / f"p.{name}"]
        for words in (flags, ["-static", *static]):
            run(*common, *words, "-o", place / "p")
            run(place / "p", env=environment)
            box.unlink()


def every_call_has_a_manual_page(root, _place):
    pages = {page.stem for page in (root / "share/man/man3").glob("*.3")}
    assert declared(root) <= pages, sorted(declared(root) - pages)
    assert (root / "share/man/man1/memboxctl.1").exists()
    for page in (root / "share/man/man3").glob("*.3"):
        link = re.match(r"\.so man3/(\S+)$", page.read_text())
        assert not link or (page.parent / link[1]).exists(), page


def udev_finds_its_rule(root, _place):
    rule = (root / "lib/udev/rules.d/99-membox.rules").read_text()
    assert re.search(r'^SUBSYSTEM=="membox", KERNEL=="membox\[0-9\]\*", GROUP="membox", MODE="0660"$', rule, re.M), rule


CASES = [exports_what_its_headers_declare, the_archive_keeps_its_insides_to_itself, it_has_its_names,
         programs_find_it, every_call_has_a_manual_page, udev_finds_its_rule]

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="membox-install-", dir="/dev/shm") as folder:
        build = os.environ.get("B", "build")
        run("make", "install-lib", "install-udev", f"B={build}", f"DESTDIR={folder}/root", "PREFIX=/usr", cwd=ROOT)
        tap.main(CASES, pathlib.Path(folder) / "root/usr", pathlib.Path(folder))
