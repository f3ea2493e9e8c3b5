# SPDX-License-Identifier: MIT
"""Debian's packages and source packages, fetched without touching the machine's own apt.

The mirror is the one that this machine's apt is configured with. A private source list and
private directories in the cache add the suites that are needed (sources of trixie, backports),
so no privilege is needed and nothing of the machine changes.
"""
import os
import pathlib
import re
import subprocess
import time

import cache
import step

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LISTS_MAX_AGE = 12 * 3600
SUITE = "bookworm"
SOURCE_SUITE = "trixie"


def _mirrors():
    """The main and the security mirror of this machine's apt configuration."""
    rows = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(RELEASE) $(COMPONENT) $(REPO_URI)"],
        capture_output=True, text=True, check=True).stdout.split("\n")
    main = security = None
    for row in rows:
        words = row.split()
        if len(words) != 4 or words[0] != "Packages" or words[2] != "main":
            continue
        if words[1] == f"{SUITE}-security":
            security = security or words[3]
        elif words[1] in (SUITE, "oldstable", "stable"):
            main = main or words[3]
    if not main:
        step.fail("packages", f"apt on this machine has no source for {SUITE}",
                  "apt-get indextargets", kind=step.Unavailable)
    return main, security


def _apt_dir():
    return cache.root() / "apt"


def _environment():
    return {**os.environ, "APT_CONFIG": str(_apt_dir() / "apt.conf"), "LC_ALL": "C"}


def prepare():
    """Writes the private apt configuration and refreshes its lists when they are old."""
    base = _apt_dir()
    stamp = base / "updated"
    with cache.lock("apt"):
        if stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_MAX_AGE:
            return
        for name in ("lists/partial", "cache/archives/partial", "empty.d"):
            (base / name).mkdir(parents=True, exist_ok=True)
        main, security = _mirrors()
        lines = [f"deb [signed-by={KEYRING}] {main} {SUITE} main",
                 f"deb [signed-by={KEYRING}] {main} {SUITE}-backports main",
                 f"deb-src [signed-by={KEYRING}] {main} {SOURCE_SUITE} main"]
        if security:
            lines += [f"deb [signed-by={KEYRING}] {security} {SUITE}-security main",
                      f"deb-src [signed-by={KEYRING}] {security} {SOURCE_SUITE}-security main"]
        (base / "sources.list").write_text("\n".join(lines) + "\n")
        (base / "status").write_text("")
        (base / "apt.conf").write_text(f"""\
Dir::Etc::SourceList "{base}/sources.list";
Dir::Etc::SourceParts "{base}/empty.d";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "{base}/empty.d";
Dir::State::Lists "{base}/lists";
Dir::State::Status "{base}/status";
Dir::Cache "{base}/cache";
APT::Sandbox::User "root";
APT::Get::List-Cleanup "true";
Acquire::Languages "none";
Acquire::Retries "3";
""")
        step.run("package lists", ["apt-get", "update", "-q"], 10, env=_environment())
        stamp.touch()


def _query(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True,
                          env=_environment()).stdout


def newest(versions):
    """Version strings, newest first, by Debian's own comparison."""
    import functools

    def compare(a, b):
        return -1 if subprocess.run(["dpkg", "--compare-versions", a, "gt", b]).returncode == 0 else 1
    return sorted(set(versions), key=functools.cmp_to_key(compare))


def binary_names(pattern):
    """Names of binary packages that match a regular expression."""
    expression = re.compile(pattern)
    return [name for name in _query("apt-cache", "pkgnames").split() if expression.fullmatch(name)]


def binary_versions(name):
    rows = _query("apt-cache", "madison", name).strip().split("\n")
    return newest(row.split("|")[1].strip() for row in rows
                  if row.count("|") == 2 and row.endswith("Packages"))


def depends(name, pattern):
    """The first dependency of a package that matches a regular expression."""
    for word in re.findall(r"Depends: (\S+)", _query("apt-cache", "depends", name)):
        if re.fullmatch(pattern, word):
            return word
    return None


def unpack_binary(name, target, version_pattern=".*"):
    """Downloads the newest obtainable version of a binary package and unpacks it."""
    versions = [v for v in binary_versions(name) if re.match(version_pattern, v)]
    for version in versions:
        where = pathlib.Path(target) / ".download"
        where.mkdir(parents=True, exist_ok=True)
        result = subprocess.run(["apt-get", "download", "-q", f"{name}={version}"], cwd=where,
                                env=_environment(), capture_output=True, text=True)
        files = list(where.glob("*.deb"))
        if result.returncode == 0 and files:
            subprocess.run(["dpkg-deb", "-x", files[0], target], check=True)
            files[0].unlink()
            where.rmdir()
            return version
        step.say(f"    {name} {version}: {result.stderr.strip()[-200:]}; trying an older one")
    return step.fail("download", f"no version of {name} can be fetched (had {versions})",
                     step.repeat_command(), kind=step.Unavailable)


def source_versions(name, pattern):
    text = _query("apt-cache", "showsrc", "--only-source", name)
    return newest(v for v in re.findall(r"^Version: (\S+)", text, re.M) if re.match(pattern, v))


def unpack_source(name, version, target):
    """Downloads and unpacks one source package; False when the mirror lacks its files."""
    target = pathlib.Path(target)
    where = target.parent / f"{target.name}.download"
    where.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(["apt-get", "source", "-q", "--download-only", f"{name}={version}"],
                            cwd=where, env=_environment(), capture_output=True, text=True)
    dsc = list(where.glob("*.dsc"))
    if result.returncode != 0 or not dsc:
        step.say(f"    {name} {version}: {result.stderr.strip()[-200:]}")
        return False
    step.run(f"unpacking {name} {version}",
             ["dpkg-source", "--no-check", "--no-copy", "-x", dsc[0].name, str(target)], 30, cwd=where)
    for file in where.iterdir():
        file.unlink()
    where.rmdir()
    return True
