#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""memboxctl: each verb on a box that is a file; list and info on a pretended PCI tree."""
import json
import os
import pathlib
import struct
import subprocess
import tempfile

import tap

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / os.environ.get("B", "build") / "bin/memboxctl"
ADDRESS = "0000:00:04.0"


def ctl(*words, status=0, box=None):
    """Runs it; (standard output, standard error), or an AssertionError when the status is another."""
    environment = {**os.environ, "MEMBOX": f"file:{box}" if box else ""}
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, timeout=60, env=environment)
    out, err = done.stdout, done.stderr.decode()
    assert done.returncode == status, f"{words}: exit status {done.returncode}\n{out.decode(errors='replace')}{err}"
    return out, err


def text(*words, **options):
    return ctl(*words, **options)[0].decode()


# ---- boxes ----

def formats_and_refuses_to_do_it_twice(folder):
    box = folder / "box"
    assert "32.0 MiB" in text("format", box, "--size", "32M", "--ports", 4, "--params", 100)
    assert box.stat().st_size == 32 << 20
    assert box.stat().st_mode & 0o777 == 0o600
    assert "force" in ctl("format", box, "--size", "32M", status=2)[1]
    text("format", f"file:{box}", "--size", 33554432, "--force")
    info = json.loads(text("stat", "--json", box))
    assert info["ports"] == 16 and info["max_params"] == 1024, info
    assert "12Q" in ctl("format", folder / "other", "--size", "12Q", status=2)[1]
    assert "usage" in ctl("format", status=2)[1]
    assert "no space" in ctl("format", folder / "huge", "--size", "1024G", status=2)[1]
    assert not (folder / "huge").exists()


def lists_parameters(folder):
    box = folder / "box"
    text("create", box, "weights", "f32", "1K")
    text("create", "--mappable", box, "words", "i64", 10)
    out = text("ls", box)
    assert [line.split()[0] for line in out.splitlines()] == ["NAME", "weights", "words"], out
    rows = {row["name"]: row for row in json.loads(text("ls", "-j", box=box))}
    assert rows["weights"]["count"] == 1024 and rows["weights"]["bytes"] == 4096
    assert rows["words"]["type"] == "i64" and rows["words"]["attributes"] == "mappable"
    assert rows["words"]["references"] == 0
    assert "no box named" in ctl("ls", status=2)[1]
    assert "no-such" in ctl("ls", folder / "no-such", status=2)[1]


def shows_the_box_and_one_parameter(folder):
    box = folder / "box"
    info = json.loads(text("stat", "-j", box))
    assert info["state"] == "good" and info["params"] == 2 and info["live_ports"] == 1
    assert "acc" in info["capabilities"] and info["port"][0]["pid"] > 0
    assert "admin_commands" in info["port"][0]["counters"]
    out = text("stat", box)
    assert "parameters    2 of 1024" in out and "port 0" in out, out
    one = json.loads(text("stat", "-j", "--box", box, "weights"))
    assert one["name"] == "weights" and one["mode"] == "0666"
    assert "count        1024" in text("stat", box, "weights")
    assert "'nobody'" in ctl("stat", box, "nobody", status=1)[1]


def dumps_what_is_written(folder):
    box = folder / "box"
    raw, _ = ctl("dump", box, "weights")
    assert raw == bytes(4096)
    assert text("dump", "--text", "--first", 1020, box, "weights").split() == ["0"] * 4
    assert text("dump", "--text", "--count", 2, box, "words").split() == ["0", "0"]
    ctl("dump", box, "weights", "--output", folder / "out", "--count", 10)
    assert (folder / "out").read_bytes() == bytes(40)
    assert "past the end" in ctl("dump", box, "weights", "--count", 2000, status=2)[1]
    assert "2000" in ctl("dump", box, "weights", "--first", 2000, status=1)[1]
    assert "'nobody'" in ctl("dump", box, "nobody", status=1)[1]


def keys_open_what_they_were_made_for(folder):
    box = folder / "box"
    key = text("create", "--keyed", box, "secret", "f64", 5).strip()
    assert key.startswith("mbk-") and len(key) == 40, key
    assert "with this key" in text("key", "--key", key, box, "secret")
    assert "key" in ctl("key", box, "secret", status=1)[1]
    other = key[:-1] + ("0" if key[-1] != "0" else "1")
    assert "mistyped" in ctl("key", "--key", other, box, "secret", status=1)[1]
    assert ctl("dump", "--key", key, box, "secret")[0] == bytes(40)
    ctl("destroy", "--key", key, box, "secret")
    assert "'secret'" in ctl("key", "--key", key, box, "secret", status=1)[1]


def destroys_and_revokes(folder):
    box = folder / "box"
    ctl("destroy", box, "words")
    ctl("revoke", box, "weights")
    assert json.loads(text("ls", "-j", box)) == []
    assert "'weights'" in ctl("revoke", box, "weights", status=1)[1]


def evicts_only_what_is_suspended(folder):
    box = folder / "box"
    assert "port 3 is free" in ctl("evict", box, 3, status=1)[1]
    assert "port 0 is in use" in ctl("evict", box, 0, status=1)[1]  # its own
    assert "no port 99" in ctl("evict", box, 99, status=1)[1]
    assert "'x'" in ctl("evict", box, "x", status=2)[1]


def checks_a_box_and_notices_damage(folder):
    box = folder / "box"
    text("create", box, "w", "f32", 100)
    assert text("fsck", box) == "0 findings\n"
    whole = box.read_bytes()
    at = whole.index(b"w\0" + bytes(62))  # its name, in the parameter table
    with open(box, "r+b") as file:
        file.seek(at)
        file.write(b"v")
    out, _ = ctl("fsck", box, status=1)
    assert len(out.decode().splitlines()) >= 2, out
    assert ctl("fsck", "--quiet", box, status=1)[0] == b""
    (folder / "junk").write_bytes(bytes(1 << 20))
    assert "junk" in ctl("fsck", folder / "junk", status=2)[1]


def says_how_it_is_used(folder):
    overview = text("--help")
    for verb in ("list", "info", "format", "ls", "stat", "fsck", "create", "destroy", "revoke", "dump", "key",
                 "evict"):
        assert f"  {verb} " in overview, overview
        assert text(verb, "--help").startswith(f"usage: memboxctl {verb}")
        assert "usage" in ctl(verb, "--no-such-option", status=2)[1] + ctl(verb, "-?", status=2)[1]
    assert text("--version").startswith("memboxctl 1.")
    assert "'fly'" in ctl("fly", status=2)[1]
    assert ctl(status=2)[1].startswith("usage")


# ---- devices ----

def config_space(command, bars=(0xfeb00000, 0x800000000, 0xfeb80000), link=(1, 1), revision=1):
    """The configuration space of a membox: PCI Express and MSI-X capabilities."""
    space = bytearray(256)
    struct.pack_into("<HHHHB", space, 0, 0x1b36, 0x00b0, command, 0x10, revision)
    struct.pack_into("<HB", space, 0xa, 0x0580, 0)
    for index, bar, kind in zip((0, 2, 4), bars, (4, 12, 4)):
        struct.pack_into("<Q", space, 0x10 + 4 * index, bar | kind)
    space[0x34] = 0x40
    struct.pack_into("<BBH", space, 0x40, 0x10, 0x80, 0x0002)  # PCI Express endpoint
    struct.pack_into("<I", space, 0x4c, 3 | 4 << 4)  # at most 8 GT/s, x4
    struct.pack_into("<H", space, 0x52, link[0] | link[1] << 4)
    struct.pack_into("<BBHII", space, 0x80, 0x11, 0, 4, 0x8000, 0xc000)  # MSI-X, 5 vectors
    return bytes(space)


class Tree:
    """A pretended /sys/bus/pci with one membox."""

    def __init__(self, folder, bars=(0xfeb00000, 0x800000000, 0xfeb80000), **space):
        self.bus = pathlib.Path(tempfile.mkdtemp(dir=folder)) / "bus/pci"
        self.device = self.bus / "devices" / ADDRESS
        self.device.mkdir(parents=True)
        (self.bus / "drivers").mkdir()
        (self.device / "config").write_bytes(config_space(bars=bars, **space))
        sizes = {0: 0x10000, 2: 0x10000000, 4: 0x5000}
        lines = []
        for index in range(6):
            start = bars[index // 2] if index in sizes else 0
            size = sizes.get(index, 0)
            flags = (0x14220c if index == 2 else 0x140204) if size else 0
            lines.append(f"0x{start:016x} 0x{start + size - 1 if size else 0:016x} 0x{flags:016x}")
        (self.device / "resource").write_text("\n".join(lines + ["0x0 0x0 0x0"]) + "\n")
        for name, value in (("vendor", "0x1b36"), ("device", "0x00b0"), ("class", "0x058000"), ("irq", "11"),
                            ("revision", "0x01"), ("numa_node", "-1"), ("modalias", "pci:none"),
                            ("subsystem_vendor", "0x1af4"), ("subsystem_device", "0x1100")):
            (self.device / name).write_text(value + "\n")

    def bind(self, driver):
        (self.bus / "drivers" / driver).mkdir()
        (self.device / "driver").symlink_to(f"../../drivers/{driver}")
        return self

    def node(self, name):
        (self.device / "membox" / name).mkdir(parents=True)
        return self

    def run(self, verb, *words, status=0):
        return ctl(verb, "-O", f"sysfs.path={self.bus}", *words, status=status)

    def findings(self):
        done = json.loads(self.run("info", "-j", status=1)[0])
        return "\n".join(done[0]["findings"])


def a_device_without_a_driver_is_found(folder):
    tree = Tree(folder, command=0)
    out = tree.run("list")[0].decode()
    assert ADDRESS in out and "disabled" in out, out
    told = tree.findings()
    assert "BARs are disabled" in told and "module membox is not loaded" in told, told
    device = json.loads(tree.run("list", "-j")[0])[0]
    assert device["address"] == ADDRESS and device["driver"] is None and device["node"] is None
    assert device["msix"] == {"vectors": 5, "enabled": False, "bar": 0, "offset": 0x8000}, device
    assert [bar["bar"] for bar in device["bars"]] == [0, 2, 4]
    assert device["bars"][1] == {"bar": 2, "address": 0x800000000, "bytes": 0x10000000, "is_64_bit": True,
                                 "prefetchable": True, "enabled": False}, device
    assert device["link"] == {"width": 1, "speed": "2.5 GT/s", "max_width": 4, "max_speed": "8 GT/s"}
    assert not device["bus_master"]


def a_loaded_module_that_did_not_take_it_is_told_apart(folder):
    tree = Tree(folder, command=2)
    (tree.bus / "drivers/membox").mkdir()
    told = tree.findings()
    assert "did not take it" in told and "bind" in told and "disabled" not in told, told


def a_foreign_driver_is_named(folder):
    told = Tree(folder, command=6).bind("vfio-pci").findings()
    assert "vfio-pci holds it" in told and f"echo {ADDRESS}" in told, told


def a_missing_node_is_named(folder):
    tree = Tree(folder, command=6, link=(3, 4)).bind("membox").node("membox77")
    told = tree.findings()
    assert told == "no /dev/membox77: is devtmpfs mounted, and udev running?", told
    told = Tree(folder, command=6, link=(3, 4)).bind("membox").findings()
    assert "made no node" in told, told


def unset_bars_and_slow_links_are_named(folder):
    told = Tree(folder, command=2, bars=(0xfeb00000, 0, 0xfeb80000)).bind("membox").findings()
    assert "BAR 2 (aperture) has no address" in told and "pci=realloc" in told, told
    assert "x1 at 2.5 GT/s of x4 at 8 GT/s" in told, told
    told = Tree(folder, command=6, revision=9).findings()
    assert "revision 9" in told, told


def the_text_for_people_says_it_all(folder):
    tree = Tree(folder, command=0)
    out = tree.run("info", "00:04.0", status=1)[0].decode()
    for part in (ADDRESS, "registers at 0xfeb00000, 64.0 KiB", "aperture at 0x800000000, 256 MiB", "doorbells",
                 "disabled", "x1 at 2.5 GT/s", "5 vectors, off", "bus mastering", "! BARs"):
        assert part in out, f"'{part}' is not in\n{out}"
    assert "00:05.0" in tree.run("info", "00:05.0", status=1)[1]


def a_computer_without_devices_is_told_what_to_do(folder):
    bus = folder / "none/bus/pci"
    (bus / "devices").mkdir(parents=True)
    for verb in ("list", "info"):
        err = ctl(verb, "-O", f"sysfs.path={bus}", status=1)[1]
        assert "1b36:00b0" in err and "memboxctl format" in err, err
    assert json.loads(text("list", "-j", "-O", f"sysfs.path={bus}")) == []
    assert "no.such" in ctl("list", "-O", "no.such=1", status=2)[1]


CASES = [formats_and_refuses_to_do_it_twice, lists_parameters, shows_the_box_and_one_parameter, dumps_what_is_written,
         keys_open_what_they_were_made_for, destroys_and_revokes, evicts_only_what_is_suspended,
         checks_a_box_and_notices_damage, says_how_it_is_used,
         a_device_without_a_driver_is_found, a_loaded_module_that_did_not_take_it_is_told_apart,
         a_foreign_driver_is_named, a_missing_node_is_named, unset_bars_and_slow_links_are_named,
         the_text_for_people_says_it_all, a_computer_without_devices_is_told_what_to_do]

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="membox-ctl-", dir="/dev/shm") as place:
        tap.main(CASES, pathlib.Path(place))
