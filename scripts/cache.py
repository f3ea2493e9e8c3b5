# SPDX-License-Identifier: MIT
"""The cache outside the checkout: what is slow to build is built once and kept here.

Each entry is a directory <kind>-<key>, where the key is a hash of all that the entry is built
from, so that an entry never changes its meaning. An entry is made under a lock in a directory of
another name and renamed when it is whole: whoever sees the name may use it.
"""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import sys
import tempfile

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
KEY_LENGTH = 16


def root():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = pathlib.Path(base) / "membox"
    path.mkdir(parents=True, exist_ok=True)
    return path


def logs():
    path = root() / "logs"
    path.mkdir(exist_ok=True)
    return path


def key(*parts):
    """A short hash of strings, of files' contents and of trees of files."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, pathlib.Path):
            files = sorted(f for f in part.rglob("*") if f.is_file()) if part.is_dir() else [part]
            for file in files:
                if file.is_file():
                    name = str(file.relative_to(part)) if part.is_dir() else file.name
                    digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
        else:
            digest.update(str(part).encode())
        digest.update(b"\1")
    return digest.hexdigest()[:KEY_LENGTH]


@contextlib.contextmanager
def lock(name):
    """Excludes other processes from one entry; the kernel drops the lock of a dead holder."""
    locks = root() / "locks"
    locks.mkdir(exist_ok=True)
    with open(locks / name, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"    waiting for another process that works on {name}", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_atomic(path, text):
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(fd, "w") as out:
        out.write(text)
    os.rename(name, path)


def entry(name, build):
    """The directory of a cache entry, made by build(directory) when it is not there yet."""
    final = root() / name
    if final.is_dir():
        return final
    with lock(name):
        if not final.is_dir():
            partial = root() / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            build(partial)
            partial.rename(final)
    return final


def mirror(source, target, skip=lambda relative: False, keep=(), prune=None):
    """Makes target's files equal to source's, touching only those that differ.

    Unchanged files keep their times, so that ninja and make rebuild only what changed. Folders of
    target that are named in `keep` are left alone; with `prune` only files with those suffixes
    are removed from target (the others are a build's products).
    """
    wanted = {f.relative_to(source) for f in source.rglob("*")
              if f.is_file() and not skip(f.relative_to(source))} if source.is_dir() else set()
    if target.is_dir():
        for file in list(target.rglob("*")):
            relative = file.relative_to(target)
            if file.is_file() and relative not in wanted and relative.parts[0] not in keep and \
                    (prune is None or file.suffix in prune):
                file.unlink()
    for relative in wanted:
        new = (source / relative).read_bytes()
        path = target / relative
        if not path.is_file() or path.read_bytes() != new:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(new)
