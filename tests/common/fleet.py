# SPDX-License-Identifier: MIT
"""One box and the computers that share it: guests with a device each, and host processes on the file.

    with Fleet(guests=3, size="256M") as fleet:
        fleet.guests[0].box("get w f32 100")        # {"address": "…", "created": "1"}
        fleet.host("sum w")

Tests put this folder on their path: sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common")).
"""
import os
import pathlib
import subprocess
import tempfile

from vm import COMMAND_TIMEOUT, Guest, GuestError, box_args

CHECKOUT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("B", CHECKOUT / "build"))
TOOLS = BUILD / "guest"


class ToolFailed(Exception):
    """mbtool ended with an error; .values holds what it printed."""

    def __init__(self, where, command, status, output):
        super().__init__(f"{where}: {command}: exit status {status}\n{output}")
        self.values = parse(output)


def parse(output):
    """The word=value lines of a program's output."""
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


class Computer(Guest):
    """A guest with membox.ko loaded."""

    def insmod(self):
        status, output = self.run("insmod /lib/membox/membox.ko && "
                                  "for i in $(seq 600); do [ -c /dev/membox0 ] && break; sleep 0.1; done; "
                                  "ls /dev/membox0")
        if status:
            raise GuestError(f"{self.name}: insmod: {output}\n{self.console_tail()}")

    def box(self, command, timeout=COMMAND_TIMEOUT, queues=""):
        """Runs an mbtool command here, through the queues named (kernel, user); its values, or ToolFailed."""
        status, output = self.run(f"MEMBOX=/dev/membox0 MEMBOX_QUEUES={queues} /usr/bin/mbtool {command}", timeout)
        if status:
            raise ToolFailed(self.name, command, status, output)
        return parse(output)

    def box_spawn(self, command):
        return self.spawn(f"MEMBOX=/dev/membox0 exec /usr/bin/mbtool {command}")


class Fleet:
    """A box file in memory and some guests on it; everything goes with the with block."""

    def __init__(self, name, guests=1, size="256M", kernel="6.12", options="", ports=8, memory="512M",
                 files=None, devices=(), start=True, params=1024):
        self.name, self.kernel, self.options, self.memory = name, kernel, options, memory
        self.files = {"/usr/bin/mbtool": TOOLS / "mbtool", **(files or {})}
        self.extra = list(devices)
        folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.folder = tempfile.TemporaryDirectory(prefix=f"membox-{name}-", dir=folder)
        self.path = pathlib.Path(self.folder.name) / "box"
        subprocess.run([BUILD / "bin/memboxctl", "format", self.path, "--size", size, "--ports", str(ports),
                        "--params", str(params)], check=True, stdout=subprocess.DEVNULL, timeout=120)
        self.guests = []
        self.made = 0
        try:
            for number in range(guests):
                self.add(start=False)
            if start:
                for guest in self.guests:
                    guest.start(wait=False)
                for guest in self.guests:
                    guest.ready()
                    guest.insmod()
        except BaseException:
            self.close()
            raise

    def add(self, start=True, options=None, append=""):
        """A further guest on the box; append: to its kernel's command line."""
        device = f"membox,memdev=box{self.options if options is None else options}"
        guest = Computer(f"{self.name}-{self.kernel}-{self.made}", kernel=self.kernel, memory=self.memory,
                         files=self.files, devices=[*box_args(self.path), "-device", device, *self.extra],
                         append=append)
        self.made += 1
        self.guests.append(guest)
        if start:
            guest.start()
            guest.insmod()
        return guest

    def host_spawn(self, command):
        """Starts mbtool on the file, in this machine."""
        return subprocess.Popen([TOOLS / "mbtool", *command.split()], stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "MEMBOX": f"file:{self.path}"})

    def host(self, command, timeout=120):
        child = self.host_spawn(command)
        try:
            output = child.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise
        if child.returncode:
            raise ToolFailed("host", command, child.returncode, output)
        return parse(output)

    def host_cost(self, command, timeout=120):
        """Runs the program of tests/costs on the file, in this machine."""
        subprocess.run([TOOLS / "cost", *command.split()], env={**os.environ, "MEMBOX": f"file:{self.path}"}, check=True,
                       timeout=timeout)

    def fsck(self):
        """What the checker finds, "" for nothing."""
        done = subprocess.run([BUILD / "bin/memboxctl", "fsck", self.path], capture_output=True, text=True,
                              timeout=120)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def logs(self):
        """Complaints in any guest's kernel log."""
        return [f"{guest.name}: {line}" for guest in self.guests if guest.process for line in guest.check_log()]

    def close(self):
        for guest in self.guests:
            if guest.process:
                guest.kill()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
