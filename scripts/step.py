# SPDX-License-Identifier: MIT
"""Runs the commands of a build one step at a time and tells a person how far they are.

A step has a title, a log file and an expected time (the time it took here last, when known).
On a terminal one line is rewritten in place; elsewhere plain lines are printed, one every half
minute. Everything goes to standard error: standard output belongs to a script's result. A step
that fails prints its log's tail and the command that repeats it, then raises Failed.
"""
import json
import os
import shlex
import signal
import subprocess
import sys
import time

import cache

# A make that started this script has nothing to say to the makes that it starts.
for _name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
    os.environ.pop(_name, None)

PLAIN_INTERVAL = 30.0
TAIL_LINES = 30


class Failed(Exception):
    """A step went wrong and the person has been told; main() turns it into exit status 1."""


class Unavailable(Failed):
    """The machine lacks something (packages, disk, the mirror): nothing of ours is wrong."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _times_path():
    return cache.root() / "times.json"


def _expected(title, guess):
    try:
        return json.loads(_times_path().read_text()).get(title, guess)
    except (OSError, ValueError):
        return guess


def _remember(title, seconds):
    with cache.lock("times"):
        try:
            known = json.loads(_times_path().read_text())
        except (OSError, ValueError):
            known = {}
        known[title] = round(seconds, 1)
        cache.write_atomic(_times_path(), json.dumps(known, indent=1))


def kill_group(process):
    """Ends a child and all that it started (it leads a process group of its own)."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
            return
        except ProcessLookupError:
            process.wait()
            return
        except subprocess.TimeoutExpired:
            continue


def tail(path, lines=TAIL_LINES):
    try:
        with open(path, errors="replace") as log:
            return "".join(log.readlines()[-lines:])
    except OSError:
        return ""


def fail(title, message, repeat=None, log=None, kind=Failed):
    say(f"FAILED: {title}: {message}")
    if log:
        say(f"--- end of {log}")
        say(tail(log).rstrip())
        say("---")
    if repeat:
        say(f"repeat with: {repeat}")
    raise kind(f"{title}: {message}")


def repeat_command():
    """The command line that started this script, as a person would type it again."""
    return " ".join(shlex.quote(word) for word in [os.path.relpath(sys.argv[0])] + sys.argv[1:])


def run(title, argv, expect=None, log=None, cwd=None, env=None, timeout=None):
    """Runs argv to its end as one step; its output goes to the file `log`."""
    log = log or cache.logs() / (title.replace(" ", "-").replace("/", "-") + ".log")
    about = _expected(title, expect)
    hint = f" (about {clock(about)})" if about and about >= 2 else ""
    live = sys.stderr.isatty()
    if not live:
        say(f"==> {title}{hint}")
    start = time.monotonic()
    with open(log, "wb") as out:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, cwd=cwd, env=env,
                                 start_new_session=True)
        try:
            spoken = start
            while True:
                try:
                    status = child.wait(0.5)
                    break
                except subprocess.TimeoutExpired:
                    pass
                now = time.monotonic()
                if live:
                    print(f"\r==> {title} {clock(now - start)}{hint}\033[K", end="",
                          file=sys.stderr, flush=True)
                elif now - spoken >= PLAIN_INTERVAL:
                    spoken = now
                    say(f"    {title}: {clock(now - start)}{hint}")
                if timeout and now - start > timeout:
                    kill_group(child)
                    status = f"no end after {clock(timeout)}"
                    break
        except BaseException:
            kill_group(child)
            raise
    took = time.monotonic() - start
    if live:
        print("\r\033[K", end="", file=sys.stderr)
    if status != 0:
        command = " ".join(shlex.quote(str(word)) for word in argv)
        fail(title, f"{command}: status {status} after {clock(took)}", repeat_command(), log)
    say(f"    {title}: done in {clock(took)}")
    if took >= 2:
        _remember(title, took)


def _terminate(_number, _frame):
    raise KeyboardInterrupt


def main(function):
    """Calls function() as a script's main: signals end the children, failures are exit 1."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        sys.exit(function())
    except Failed:
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
