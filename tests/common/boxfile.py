# SPDX-License-Identifier: MIT
"""The bytes of a box file, area by area, as uapi/membox_format.h lays them out.

    before = boxfile.hashes(path)
    ...
    assert boxfile.changed(before, boxfile.hashes(path)) == []

Left out is what every command changes, and nothing else: a port's counters, and the word by which
ports wake each other with the count of who sleeps on it.
"""
import hashlib
import pathlib
import struct

SUPER = struct.Struct("<QIIQQQ16sQIIIIII16s")
AREA = struct.Struct("<QQII")
AREAS = ["STATE", "PORTS", "CONTEXTS", "HANDLES", "PARAMS", "VERSIONS", "HASH", "BITMAP", "STRIPES", "GROUPS",
         "MAIL", "WAITERS", "OUTCOMES", "UNDO", "COLL", "JOURNAL", "DATA"]
MAGIC = 0x31584f42584f424d
# struct membox_fmt_port: wake, sleepers; counter[]
PORT_BYTES = 4096
PORT_EXCEPTED = [(128, 136), (192, 320)]


def areas(image):
    """{name: (offset, bytes)} of a box's geometry."""
    magic, version, *_ = SUPER.unpack_from(image)
    assert (magic, version) == (MAGIC, 1), "not a box"
    found = {}
    for number, name in enumerate(AREAS):
        offset, size, _entry, _per_port = AREA.unpack_from(image, SUPER.size + number * AREA.size)
        if size:
            found[name] = (offset, size)
    return found


def hashes(path, excepted=()):
    """{area: SHA-256}, and "REST" of what is in no area; `excepted` names areas to leave out."""
    image = bytearray(pathlib.Path(path).read_bytes())
    found = areas(image)
    ports, size = found["PORTS"]
    for port in range(ports, ports + size, PORT_BYTES):
        for begin, end in PORT_EXCEPTED:
            image[port + begin:port + end] = bytes(end - begin)
    digests = {}
    for name, (offset, size) in found.items():
        if name not in excepted:
            digests[name] = hashlib.sha256(memoryview(image)[offset:offset + size]).hexdigest()
        image[offset:offset + size] = bytes(size)
    digests["REST"] = hashlib.sha256(image).hexdigest()
    return digests


def changed(before, after):
    """The areas that differ."""
    return [name for name in before if before[name] != after[name]]
