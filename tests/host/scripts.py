#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the scripts say and do when things go wrong, on a machine with nothing installed, and when interrupted."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import tap

CHECKOUT = pathlib.Path(__file__).parents[2]
SCRIPTS = CHECKOUT / "scripts"
NOBODY = 65534
# What issues and documents name; `make help` must tell of each.
VERBS = "demo test check kunit lint modules lib qemu vm install clean".split()


def python(code, place, prefix=(), **options):
    """Runs code as a script of scripts/ with a cache of its own."""
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "XDG_CACHE_HOME": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([*prefix, sys.executable, "-c", f"import step\n{code}"], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=CHECKOUT, **options)


def ended(child, timeout=60):
    out, err = child.communicate(timeout=timeout)
    return child.returncode, out, err


def gone(pid, timeout=60):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def begin_with_nothing_installed(place):
    """each script begins where there is no program but Python: it is what installs the others"""
    environment = {**os.environ, "PATH": str(place), "XDG_CACHE_HOME": str(place)}
    found = 0
    for script in sorted(SCRIPTS.iterdir()):
        if script.is_file() and "argparse.ArgumentParser" in script.read_text() and os.access(script, os.X_OK):
            found += 1
            done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, timeout=60,
                                  env=environment)
            assert done.returncode == 0 and "usage:" in done.stdout, f"{script.name}: {done.stderr}"
    assert found >= 5, found


def failing_step(place):
    """a step that fails prints its title, its log's end, and the command that repeats it"""
    command = ["sh", "-c", "seq 100; echo the reason; exit 3"]
    status, _, told = ended(python(f"step.main(lambda: step.run('the work', {command!r}, 5))", place))
    assert status == 1, status
    for wanted in ("==> the work", "FAILED: the work", "status 3", "\n100\nthe reason\n", "repeat with: "):
        assert wanted in told, f"{wanted!r} is not in\n{told}"
    assert "\n50\n" not in told, "more than the log's end"


def expected_time(place):
    """a step says how long it took here before"""
    code = "step.run('slow work', ['sleep', '2.1'], 70)"
    assert "==> slow work (about 1:10)" in ended(python(code, place))[2]
    told = ended(python(code, place))[2]
    assert "==> slow work (about 0:02)" in told and re.search(r"slow work: done in 0:0\d", told), told


def interrupted_step(place):
    """an interrupt ends all that a step has started"""
    for number in (signal.SIGINT, signal.SIGTERM):
        note = place / f"pid-{number}"
        command = ["sh", "-c", f"sleep 3600 & echo $! > {note}.new; mv {note}.new {note}; wait"]
        child = python(f"step.main(lambda: step.run('long work', {command!r}, 5))", place)
        deadline = time.monotonic() + 60
        while not note.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(number)
        status, _, told = ended(child)
        assert status == 130 and "interrupted" in told, f"{status}\n{told}"
        assert gone(int(note.read_text())), "its child lives on"


def room(place):
    """too little disk or memory is told before anything is fetched, with the remedy"""
    for arguments, wanted in (("10**6, 0", "XDG_CACHE_HOME moves the cache"), ("0, 10**9", "1000000000 are needed"),
                              ("0, 0, 10**9", "remount")):
        status, _, told = ended(python(f"import machine\nstep.main(lambda: machine.require_space({arguments}))", place))
        assert status == 1 and wanted in told, f"{status}\n{told}"


def packages_without_privilege(place):
    """who may not install packages is told the exact command"""
    listed = place / "packages.list"
    listed.write_text("some: python3-minimal membox-no-such-package # for a test\n")
    code = f"import packages, pathlib\npackages.LIST = pathlib.Path({str(listed)!r})\nstep.main(lambda: packages.require('some'))"
    mine = place / "cache"
    mine.mkdir()
    mine.chmod(0o777)
    place.chmod(0o755)
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    if drop and subprocess.run([*drop, "test", "-r", SCRIPTS / "step.py"]).returncode:
        # A checkout below a closed directory: that user gets a copy.
        copy = place / "copy/scripts"
        shutil.copytree(SCRIPTS, copy)
        code = f"import sys\nsys.path[0:0] = [{str(copy)!r}]\n{code}"
    status, _, told = ended(python(code, mine, drop))
    assert status == 1 and "missing: membox-no-such-package" in told, f"{status}\n{told}"
    assert "sudo apt-get install -y --no-install-recommends membox-no-such-package\n" in told, told


def counting(_place):
    """a result that was promised and did not come is missed, and nested ones are counted once"""
    import tapreader

    def read(text):
        reader = tapreader.Reader()
        results = [r for r in map(reader.feed, text.splitlines()) if r]
        return [(r.name, r.passed, r.skipped) for r in results], reader.missing()
    assert read("1..2\nok 1 - a\nnot ok 2 - b\n") == ([("a", True, False), ("b", False, False)], [])
    assert read("1..3\nok 1 - a\nok 2 - b # SKIP no\n") == ([("a", True, False), ("b", True, True)],
                                                          ["1 of 3 promised results are missing"])
    nested = "1..1\n    ok 1 x\n    not ok 2 y\nnot ok 1 suite\n"
    assert read(nested)[0] == [("x", True, False), ("y", False, False)]
    assert read("1..1\n    ok 1 x\nnot ok 1 suite\n")[0] == [("x", True, False), ("suite", False, False)]


def helpful(_place):
    """make help tells of every verb, and each verb that it tells of is there"""
    told = subprocess.run(["make", "-s", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    named = re.findall(r"^make (\w+)", told, re.M)
    assert set(VERBS) <= set(named), sorted(set(VERBS) - set(named))
    makefile = (CHECKOUT / "Makefile").read_text()
    for verb in named:
        assert re.search(rf"^(\w+ )*{verb}( \w+)*::?( |$)", makefile, re.M), verb


CASES = [begin_with_nothing_installed, failing_step, expected_time, interrupted_step, room, packages_without_privilege,
         counting, helpful]

if __name__ == "__main__":
    out = tap.Tap(len(CASES))
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="membox-scripts-") as folder, out.case(case.__doc__):
            case(pathlib.Path(folder))
    out.exit()
