#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Guests end with the process that started them, however it ends; a guest that dies is told of; `make vm` is a shell."""
# kernels: 6.12
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

import tap
from vm import BUILD, Guest, box_args

CHECKOUT = pathlib.Path(__file__).parents[2]
PATIENCE = 300
TWO_GUESTS = """
import sys, time, step, vm
def main():
    guests = [vm.Guest(f"launcher-{n}", memory="256M", programs=[], module=False).start(wait=False) for n in range(2)]
    for guest in guests:
        guest.ready()
    print(*(guest.process.pid for guest in guests), flush=True)
    time.sleep(3600)
step.main(main)
"""


def gone(pid):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def ends_with_its_launcher():
    """two guests end when who started them is interrupted, or killed"""
    for number in (signal.SIGINT, signal.SIGKILL):
        child = subprocess.Popen([sys.executable, "-c", TWO_GUESTS], stdout=subprocess.PIPE, text=True)
        pids = [int(word) for word in child.stdout.readline().split()]
        assert len(pids) == 2, f"{number.name}: exit status {child.wait(60)}"
        assert all("qemu" in os.readlink(f"/proc/{pid}/exe") for pid in pids), pids
        child.send_signal(number)
        child.wait(60)
        assert all(gone(pid) for pid in pids), f"after {number.name} a guest runs on"


def one_command(command, timeout=60):
    """`scripts/vm.py --run`: (exit status, standard output, standard error)."""
    done = subprocess.run([CHECKOUT / "scripts/vm.py", "--memory", "256M", "--timeout", str(timeout), "--run", command],
                          capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


def runs_a_command():
    """a command's status and output are those of the guest"""
    assert one_command("echo $((6 * 7)); exit 5")[:2] == (5, "42\n")


def a_dead_guest_is_told_of():
    """a guest that dies is an error with the end of its kernel's log and the command that repeats it"""
    status, _, told = one_command("echo c > /proc/sysrq-trigger; sleep 100")
    assert status == 1, told
    for wanted in ("FAILED: guest", "died while it ran: echo c", "write_sysrq_trigger", "repeat with: scripts/vm.py --memory"):
        assert wanted in told, f"{wanted!r} is not in\n{told}"


class Terminal:
    """A command on a terminal of its own, and what it shows there."""

    def __init__(self, *words):
        self.shown = ""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execvp(words[0], words)

    def until(self, pattern):
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.shown):
            assert time.monotonic() < deadline, f"no {pattern!r} in\n{self.shown}"
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    self.shown += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    assert re.search(pattern, self.shown), f"ended without {pattern!r}:\n{self.shown}"

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """Whatever it still does is over; the exit status."""
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def a_shell():
    """make vm is a shell in a guest on the box that was named, with the module loaded"""
    with tempfile.TemporaryDirectory(prefix="membox-launcher-", dir="/dev/shm") as folder:
        box = pathlib.Path(folder) / "box"
        subprocess.run([BUILD / "bin/memboxctl", "format", box, "--size", "64M"], check=True, stdout=subprocess.DEVNULL)
        terminal = Terminal("make", "-C", str(CHECKOUT), "vm", f"BOX={box}")
        terminal.until(r"A shell in the guest")
        terminal.type("memboxctl info /dev/membox0 | grep -c free; echo status=$?\n")
        terminal.until(r"\n1\r*\nstatus=0")
        terminal.type("\x01x")  # Ctrl-A X
        terminal.until(r"QEMU: Terminated")
        assert terminal.end() in (0, -signal.SIGHUP), terminal.shown


def a_box_is_on_the_device():
    """a guest without the module has the device on its bus, and the host the guest's files"""
    with tempfile.TemporaryDirectory(prefix="membox-launcher-", dir="/dev/shm") as folder:
        box = pathlib.Path(folder) / "box"
        subprocess.run([BUILD / "bin/memboxctl", "format", box, "--size", "64M"], check=True, stdout=subprocess.DEVNULL)
        with Guest("launcher-box", memory="256M", programs=[], module=False,
                   devices=[*box_args(box), "-device", "membox,memdev=box"]) as guest:
            guest.put("/tmp/file", "x" * 5000)
            assert guest.run("wc -c < /tmp/file") == (0, "5000\n")
            assert "0x1b36 0x00b0" in guest.run("for d in /sys/bus/pci/devices/*; do echo $(cat $d/vendor $d/device); done")[1]
            assert "-device membox,memdev=box" in (guest.directory / "command").read_text()
            complaints = guest.check_log()
            assert complaints == [], complaints


tap.main([ends_with_its_launcher, runs_a_command, a_dead_guest_is_told_of, a_box_is_on_the_device, a_shell])
