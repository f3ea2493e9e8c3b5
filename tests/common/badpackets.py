# SPDX-License-Identifier: MIT
"""Drives the program badpackets (tests/tools/badpackets.c): what is to happen where it stops."""
import os
import pathlib
import subprocess
import tempfile
import threading

import boxfile

REVOKED = "bad.revoked"


class Watch:
    """What is done at the program's steps, on the host, where the box's file is."""

    def __init__(self, program, path, excepted=()):
        self.program, self.path, self.excepted = program, path, excepted
        self.before = self.after = None
        self.kinds = []  # behind which something had changed

    def at(self, step):
        if step == "revoke":
            subprocess.run([self.program, "revoke", REVOKED], env={**os.environ, "MEMBOX": f"file:{self.path}"},
                           check=True, timeout=60)
        elif step == "before":
            self.before = boxfile.hashes(self.path, self.excepted)
        else:
            self.after = boxfile.hashes(self.path, self.excepted)
            areas = boxfile.changed(self.before, self.after)
            if areas and step != "after":
                self.kinds.append((step, areas))

    def check(self, t, name):
        """A result: has anything changed between the steps before and after?"""
        if not self.before or not self.after:
            return t.not_ok(name, "the program did not get that far")
        return t.equal((boxfile.changed(self.before, self.after), self.kinds), ([], []), name)


def on_host(watch, timeout=500):
    """Runs it on the file, in this machine: (exit status, output)."""
    with tempfile.TemporaryDirectory(prefix="membox-steps-") as steps:
        environment = {**os.environ, "MEMBOX": f"file:{watch.path}", "BADPACKETS_STEPS": steps}
        child = subprocess.Popen([watch.program], stdout=subprocess.PIPE, text=True, env=environment)
        timer = threading.Timer(timeout, child.kill)
        timer.start()
        output = []
        try:
            for line in child.stdout:
                output.append(line)
                if line.startswith("# step "):
                    step = line.split()[2]
                    watch.at(step)
                    pathlib.Path(steps, step).touch()
            return child.wait(), "".join(output)
        finally:
            timer.cancel()
            if child.poll() is None:
                child.kill()
                child.wait()


def in_guest(watch, guest, command, timeout=900):
    """Runs it in a guest: (exit status, output)."""
    job = guest.spawn(f"mkdir -p /tmp/steps && rm -f /tmp/steps/* && BADPACKETS_STEPS=/tmp/steps {command}")
    for step in ("revoke", "before", "after"):
        if step == "revoke" and " node " in command:
            continue
        if not job.wait_for(f"# step {step}\n", timeout):
            break
        watch.at(step)
        guest.run(f"touch /tmp/steps/{step}")
    return job.wait(timeout)


def results(output):
    """The lines that say what was tested, to be compared between back ends."""
    return [line for line in output.splitlines() if not line.startswith("#")]
