#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Starts guests and talks to them: the launcher that tests, the demo and `make vm` use.

    with Guest("one", kernel="6.12", devices=box_args("/dev/shm/box") + ["-device", "membox,memdev=box"]) as g:
        status, output = g.run("insmod /lib/membox/membox.ko && cat /sys/bus/pci/devices/*/class")
        job = g.spawn("worker --steps 10")     # goes on beside what follows
        status, output = job.wait(120)
        assert g.check_log() == []

Every wait ends: GuestError carries the end of the kernel's log. A guest ends with the with block,
with this process (also when it is killed), and at a kernel panic. Its files are in
build/vm/<name>/: console.log is the kernel's log, command the QEMU command line.
"""
import argparse
import atexit
import concurrent.futures
import ctypes
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import cache
import image
import kernel as kernels
import packages
import qemu as qemu_build
import step

FIRMWARE = ["/usr/share/qemu", "/usr/share/seabios"]
BOOT_TIMEOUT = {"6.12": 300, "6.1": 300, "debug": 600}
SMOKE_TIMEOUT = 8
MONITOR_TIMEOUT = 120
# Many times what a command takes, or a busy machine would look like a guest that hangs.
COMMAND_TIMEOUT = 180
COMMAND_LIMIT = 3000
SHELL_BOX_SIZE = "64M"
PR_SET_PDEATHSIG = 1
TIMED_OUT = 124
BUILD = pathlib.Path(os.environ.get("B", cache.CHECKOUT / "build"))
TCG_CPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+x2apic"
# no_timer_check: on a busy machine the kernel's own test of its timer, which waits ten ticks, fails
# under emulation; it then complains of a BIOS that is not there. A virtual CPU that such a machine
# did not run for twenty seconds is no stall either.
CMDLINE = ("console=ttyS0 panic=-1 oops=panic mitigations=off tsc=reliable random.trust_cpu=on"
           " no_timer_check rcupdate.rcu_cpu_stall_timeout=120 watchdog_thresh=60")

_LIBC = ctypes.CDLL(None, use_errno=True)
# The signal at a parent's death belongs to the thread that forked: this one lives to the end.
_forker = concurrent.futures.ThreadPoolExecutor(1)
_running = set()


class GuestError(Exception):
    """The guest died, or did not answer in time."""


def box_args(path, name="box", size=None):
    """QEMU's arguments for a memory backend on a box file (its size is the file's)."""
    size = size or os.stat(path).st_size
    return ["-object", f"memory-backend-file,id={name},mem-path={path},share=on,size={size}"]


def _die_with_parent():
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Job:
    """A command that runs in a guest."""

    def __init__(self, guest, number, command):
        self.guest, self.number, self.command = guest, number, command
        self._output = bytearray()
        self._status = None
        self._changed = threading.Condition()
        self.on_line = None
        self._line = b""

    def _append(self, data):
        with self._changed:
            self._output += data
            self._changed.notify_all()
        if self.on_line:
            *lines, self._line = (self._line + data).split(b"\n")
            for line in lines:
                self.on_line(line.decode(errors="replace"))

    def _end(self, status):
        with self._changed:
            self._status = status
            self._changed.notify_all()

    @property
    def output(self):
        return bytes(self._output).decode(errors="replace")

    @property
    def done(self):
        return self._status is not None

    def kill(self, number=signal.SIGKILL):
        """Signals the command's shell and all its children."""
        self.guest._send(f"K {self.number} {int(number)}\n".encode())

    def wait_for(self, text, timeout=COMMAND_TIMEOUT):
        """Waits until the output contains text; False when the job ended or time is up before."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while text not in self.output:
                left = deadline - time.monotonic()
                if self._status is not None or left <= 0 or self.guest.dead:
                    return False
                self._changed.wait(min(left, 1.0))
        return True

    def wait(self, timeout=COMMAND_TIMEOUT):
        """(exit status, output); status 124 after the time-out, when the job is killed."""
        deadline = time.monotonic() + timeout
        killed = False
        with self._changed:
            while self._status is None:
                if self.guest.dead:
                    raise GuestError(f"{self.guest.name} died while it ran: {self.command}\n"
                                     f"{self.guest.console_tail()}")
                left = deadline - time.monotonic()
                if left <= 0 and killed:
                    raise GuestError(f"{self.guest.name} does not answer: {self.command}\n"
                                     f"{self.guest.console_tail()}")
                if left <= 0:
                    killed = True
                    deadline += 20
                    self.kill()
                self._changed.wait(min(max(left, 0.01), 1.0))
        if killed:
            return TIMED_OUT, self.output
        if os.WIFSIGNALED(self._status):
            return 128 + os.WTERMSIG(self._status), self.output
        return os.WEXITSTATUS(self._status), self.output


class Guest:
    """One virtual machine.

    devices: further QEMU arguments.   files: {path in the guest: bytes or host path}.
    programs: host programs that go to /usr/bin with their libraries (default: all of build/bin).
    modules: stock kernel modules to have (and load) in the guest, by name.
    module: whether build/modules/<kernel>/*.ko go to /lib/membox (default: when they are built).
    append: added to the kernel's command line.
    """

    def __init__(self, name, kernel="6.12", devices=(), memory="512M", accel="auto", smp=1,
                 files=None, programs=None, modules=(), module=True, append="", binary=None):
        self.name, self.kernel = name, kernel
        self.directory = BUILD / "vm" / name
        self.accel = accelerator() if accel == "auto" else accel
        self.devices, self.memory, self.smp = list(devices), memory, smp
        self.append, self.binary = append, binary
        self.files = dict(files or {})
        self.programs, self.modules, self.module = programs, modules, module
        self.process = None
        self._load = []
        self._jobs = {}
        self._next = 1
        self._ready = threading.Event()
        self._send_lock = threading.Lock()
        self._log_seen = 0
        self._qmp_lock = threading.Lock()
        self.qmp_events = []

    # Life

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self, wait=True):
        """Boots the guest; with wait=False returns at once, and ready() waits."""
        self.directory.mkdir(parents=True, exist_ok=True)
        entry = kernels.get(self.kernel)
        binary = self.binary or os.environ.get("QEMU") or qemu_build.build()
        initrd = self.directory / "initrd.cpio"
        image.write(initrd, self._contents(entry))
        (self.directory / "console.log").write_bytes(b"")
        self._agent, agent_there = socket.socketpair()
        self._qmp, qmp_there = socket.socketpair()
        command = [str(binary), "-name", self.name, *machine(self.accel, self.smp, self.memory),
                   "-display", "none",
                   "-serial", f"file:{self.directory}/console.log",
                   "-chardev", f"socket,id=agent,fd={agent_there.fileno()}", "-serial", "chardev:agent",
                   "-chardev", f"socket,id=qmp,fd={qmp_there.fileno()}", "-mon", "chardev=qmp,mode=control",
                   "-kernel", str(kernels.boot_image(entry)), "-initrd", str(initrd),
                   "-append", f"{CMDLINE} membox.name={self.name} {self.append}",
                   *self.devices]
        (self.directory / "command").write_text(shlex.join(command) + "\n")
        self._stderr = open(self.directory / "qemu.log", "wb")
        fds = (agent_there.fileno(), qmp_there.fileno())
        self.process = _forker.submit(
            subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=self._stderr,
            stderr=subprocess.STDOUT, pass_fds=fds, preexec_fn=_die_with_parent,
            start_new_session=True).result()
        agent_there.close()
        qmp_there.close()
        _running.add(self)
        threading.Thread(target=self._listen, daemon=True).start()
        self._qmp_file = self._qmp.makefile("rwb")
        self._qmp.settimeout(MONITOR_TIMEOUT)
        if wait:
            self.ready()
        return self

    def ready(self, timeout=None):
        """Waits until the guest's agent speaks, and loads the stock modules that were asked for."""
        deadline = time.monotonic() + (timeout or BOOT_TIMEOUT[self.kernel])
        while not self._ready.wait(0.2):
            if self.dead:
                raise GuestError(f"{self.name}: QEMU ended at boot\n{self.console_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise GuestError(f"{self.name}: no answer from the guest\n{self.console_tail()}")
        for path in self._load:
            status, output = self.run(f"insmod {path}")
            if status:
                raise GuestError(f"{self.name}: insmod {path}: {output}")
        return self

    @property
    def dead(self):
        return self.process is None or self.process.poll() is not None

    def _keep_coverage(self):
        """Where lines are counted (scripts/coverage): what this guest's kernel has counted, before it ends."""
        folder = os.environ.get("MEMBOX_COVERAGE")
        if not folder or self.kernel != "debug" or self.dead or not self._ready.is_set():
            return
        try:
            _, text = self.run("cd /sys/kernel/debug/gcov && find . -name '*.gcda' | "
                               "while read f; do echo \"= $f\"; base64 $f; done")
            pathlib.Path(folder, f"{self.name}-{time.monotonic_ns()}").write_text(text)
        except GuestError as error:
            print(f"# no coverage of {self.name}: {error}", flush=True)

    def stop(self):
        """Ends the guest as a power cut does (there is nothing to save)."""
        self._keep_coverage()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._ended()

    def kill(self):
        """Ends QEMU by SIGKILL, as a crash of the host process does."""
        self._keep_coverage()
        if self.process:
            self.process.kill()
        self._ended()

    def _ended(self):
        if self.process:
            self.process.wait()
            self._stderr.close()
            self._agent.close()
        _running.discard(self)

    def _contents(self, entry):
        files = dict(self.files)
        programs = self.programs
        if programs is None:
            folder = BUILD / "bin"
            programs = [f for f in folder.iterdir() if f.is_file()] if folder.is_dir() else []
        for program in programs:
            files.setdefault(f"/usr/bin/{pathlib.Path(program).name}", program)
        for library in sorted((BUILD / "lib").glob("*.so*")):
            files.setdefault(f"/usr/lib/{library.name}", library)
        if self.module:
            for module in sorted((BUILD / "modules" / self.kernel).glob("*.ko")):
                files.setdefault(f"/lib/membox/{module.name}", module)
        if self.kernel != "debug":
            for path, data in image.kernel_modules(entry, self.modules):
                files[path] = data
                self._load.append(path)
        return files

    # The agent

    def _send(self, data):
        with self._send_lock:
            try:
                self._agent.sendall(data)
            except OSError as error:
                raise GuestError(f"{self.name} is gone: {error}\n{self.console_tail()}") from error

    def _listen(self):
        stream = self._agent.makefile("rb")
        try:
            for line in stream:
                words = line.split()
                if words[:1] == [b"H"]:
                    self._ready.set()
                elif len(words) == 3 and words[0] == b"O":
                    self._jobs[int(words[1])]._append(stream.read(int(words[2])))
                elif len(words) == 3 and words[0] == b"E":
                    self._jobs.pop(int(words[1]))._end(int(words[2]))
        except (OSError, ValueError, KeyError):
            pass

    def spawn(self, command, on_line=None):
        """Starts a shell command; on_line(text) is called for each line that it writes."""
        if len(command) > COMMAND_LIMIT:
            path = f"/tmp/command-{self._next}"
            self.put(path, command)
            command = f". {path}"
        job = Job(self, self._next, command)
        job.on_line = on_line
        self._next += 1
        self._jobs[job.number] = job
        encoded = command.encode()
        self._send(f"R {job.number} {len(encoded)}\n".encode() + encoded)
        return job

    def run(self, command, timeout=COMMAND_TIMEOUT):
        """(exit status, output) of a shell command; status 124 is the time-out."""
        return self.spawn(command).wait(timeout)

    def put(self, path, data, mode=0o755):
        """Writes a small file in the guest (larger ones belong into files=)."""
        import base64
        data = data.encode() if isinstance(data, str) else data
        encoded = base64.b64encode(data).decode()
        quoted = shlex.quote(path)
        redirect = ">"
        for start in range(0, max(len(encoded), 1), 2000):
            status, output = self.run(
                f"echo '{encoded[start:start + 2000]}' | base64 -d {redirect} {quoted} && chmod {mode:o} {quoted}")
            if status:
                raise GuestError(f"{self.name}: writing {path}: {output}")
            redirect = ">>"

    # QEMU's monitor

    def _qmp_read(self):
        line = self._qmp_file.readline()
        if not line:
            raise GuestError(f"{self.name}: QEMU closed its monitor\n{self.console_tail()}")
        return json.loads(line)

    def qmp(self, command, **arguments):
        """Runs a QMP command and returns its result; a refusal raises GuestError."""
        with self._qmp_lock:
            if not getattr(self, "_qmp_ready", False):
                self._qmp_read()
                self._qmp_ready = True
                self._qmp_command("qmp_capabilities", {})
            return self._qmp_command(command, arguments)

    def _qmp_command(self, command, arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self._qmp_file.write(json.dumps(request).encode() + b"\n")
        self._qmp_file.flush()
        while True:
            answer = self._qmp_read()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise GuestError(f"{self.name}: {command}: {answer['error']['desc']}")
            self.qmp_events.append(answer)

    def hmp(self, line):
        """Runs a command of the human monitor and returns its text."""
        return self.qmp("human-monitor-command", **{"command-line": line})

    # The kernel's log

    def dmesg(self):
        """All that the kernel has written to its console."""
        return (self.directory / "console.log").read_text(errors="replace")

    def console_tail(self, lines=30):
        text = (self.directory / "qemu.log").read_text(errors="replace") if self.process else ""
        try:
            text += "\n".join(self.dmesg().splitlines()[-lines:])
        except OSError:
            pass
        return text

    def check_log(self, allow=()):
        """Complaints in the kernel's log since the last call (see scan_log)."""
        time.sleep(0.05)
        text = self.dmesg()
        fresh, self._log_seen = text[self._log_seen:], len(text)
        return scan_log(fresh, allow)

    def leaks(self):
        """What kmemleak found in the debug kernel (two scans, as a first one may be early)."""
        found = ""
        for _ in range(2):
            found = self.run("echo scan > /sys/kernel/debug/kmemleak; cat /sys/kernel/debug/kmemleak", 120)[1]
            time.sleep(1)
        return found


BAD = re.compile(r"""WARNING:|BUG:|BUG\ |Oops|KASAN:|UBSAN:|KFENCE:|KCSAN:|Kernel\ panic|general\ protection|
    unable\ to\ handle|Call\ Trace:|refcount_t:|ODEBUG:|DMA-API:|possible\ (circular|recursive)|
    suspicious\ RCU|inconsistent\ lock|bad\ unlock|held\ lock\ freed|still\ held|Bad\ page|
    scheduling\ while\ atomic|sleeping\ function|memory\ leak|kmemleak:|blocked\ for\ more\ than|
    (soft|hard)\ lockup|rcu.*stall|nobody\ cared|DMAR:.*fault|AER:|Unknown\ symbol|
    disagrees\ about\ version|membox\S*.*\b(error|failed|leak)""", re.X | re.I)
# What every boot writes, and the taint of a module built outside the tree and not signed.
HARMLESS = re.compile(r"""loading\ out-of-tree\ module\ taints|module\ verification\ failed|
    DMA-API:\ preallocated|DMA-API:\ debugging\ enabled|ODEBUG:\ selftest|kmemleak:\ Kernel\ memory\ leak\ detector|
    kmemleak:\ Automatic\ memory\ scanning|kasan:\ KernelAddressSanitizer\ initialized|AER:\ enabled\ with|
    RAS:|BERT:|[Cc]ommand\ line:|Unknown\ kernel\ command\ line|
    printk:\ debug|tsc:|ftrace:\ allocating|rcu:.*(jiffies|offload)|RCU\ CPU\ stall\ warnings\ timeout\ set|failed\ to\ assign|
    _OSC:\ .*AER|debug:\ unmapping\ init""", re.X)


def scan_log(text, allow=()):
    """The lines of a kernel log that tell of something wrong, less those that match `allow`."""
    allowed = [re.compile(pattern) for pattern in allow]
    return [line.strip() for line in text.splitlines()
            if BAD.search(line) and not HARMLESS.search(line)
            and not any(pattern.search(line) for pattern in allowed)]


def machine(accel, smp, memory):
    """QEMU's arguments that all guests share.

    Two possible CPUs even for one: under TCG a guest with one executes locked instructions without
    host atomics, which would be wrong on memory that it shares with another guest.
    """
    packages.require("vm")
    cpu = ["-accel", "kvm", "-cpu", "host"] if accel == "kvm" else \
        ["-accel", "tcg,thread=multi", "-cpu", TCG_CPU]
    libraries = [word for folder in FIRMWARE for word in ("-L", folder)]
    return ["-machine", "q35", *cpu, "-smp", f"{smp},maxcpus={max(smp, 2)}", "-m", memory, "-nodefaults",
            "-no-user-config", "-no-reboot", *libraries,
            "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]


def accelerator():
    """"kvm" where a small guest boots under it within seconds, else "tcg"; the answer is cached."""
    forced = os.environ.get("ACCEL")
    if forced:
        return forced
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with open("/proc/cpuinfo") as info:
        model = next((line for line in info if line.startswith("model name")), "")
    answer = cache.root() / f"kvm-{cache.key(platform.release(), model, kernels.get('6.12').name)}"
    if not answer.exists():
        start = time.monotonic()
        guest = Guest(f"kvm-smoke-{os.getpid()}", accel="kvm", programs=[], module=False)
        try:
            guest.start(wait=False).ready(SMOKE_TIMEOUT)
            works = guest.run("true", SMOKE_TIMEOUT)[0] == 0
        except GuestError:
            works = False
        finally:
            guest.kill()
            shutil.rmtree(guest.directory, ignore_errors=True)
        cache.write_atomic(answer, "kvm" if works else "tcg")
        step.say(f"    KVM smoke test: {'passed' if works else 'no guest boots'} "
                 f"({time.monotonic() - start:.0f} s); using {answer.read_text()}")
    return answer.read_text()


def _end_all():
    for guest in list(_running):
        guest.kill()


def _on_signal(number, _frame):
    _end_all()
    sys.exit(128 + number)


atexit.register(_end_all)
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, _on_signal)


def shell(options):
    """An interactive guest on this terminal (`make vm`)."""
    directory = BUILD / "vm" / "shell"
    directory.mkdir(parents=True, exist_ok=True)
    box = options.box or directory / "box"
    if not options.box:
        subprocess.run([BUILD / "bin/memboxctl", "format", box, "--size", SHELL_BOX_SIZE, "--force"], check=True)
    devices = box_args(box) + ["-device", "membox,memdev=box"]
    guest = Guest("shell", kernel=options.kernel, accel=options.accel)
    entry = kernels.get(options.kernel)
    image.write(directory / "initrd.cpio", guest._contents(entry))
    step.say(f"guest with kernel {options.kernel} under {guest.accel}; Ctrl-A X ends it")
    return subprocess.run(
        [str(qemu_build.build()), *machine(guest.accel, 1, options.memory), "-display", "none",
         "-chardev", "stdio,id=tty,mux=on,signal=off", "-serial", "chardev:tty", "-mon", "chardev=tty",
         "-kernel", str(kernels.boot_image(entry)), "-initrd", str(directory / "initrd.cpio"),
         "-append", f"{CMDLINE} quiet membox.name=shell membox.shell", *devices, *options.devices],
        preexec_fn=_die_with_parent).returncode


def main():
    parser = argparse.ArgumentParser(description="A shell in a guest, or one command in one.")
    parser.add_argument("--kernel", default="6.12", choices=list(BOOT_TIMEOUT))
    parser.add_argument("--accel", default="auto", choices=["auto", "kvm", "tcg"])
    parser.add_argument("--memory", default="512M")
    parser.add_argument("--box", help="a box file; the guest gets a membox device on it")
    parser.add_argument("--run", metavar="COMMAND", help="run this and print its output instead of a shell")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("devices", nargs="*", help="further QEMU arguments, after --")
    options = parser.parse_args()
    if options.run is None:
        return shell(options)
    devices = list(options.devices)
    if options.box:
        devices += box_args(options.box) + ["-device", "membox,memdev=box"]
    guest = Guest(f"run-{os.getpid()}", kernel=options.kernel, accel=options.accel, memory=options.memory,
                  devices=devices)
    try:
        guest.start()
        status, output = guest.run(options.run, options.timeout)
        print(output, end="")
        for line in guest.check_log():
            step.say(f"kernel log: {line}")
        return status
    except GuestError as error:
        step.fail("guest", str(error), step.repeat_command())
    finally:
        guest.kill()
        shutil.rmtree(guest.directory, ignore_errors=True)


if __name__ == "__main__":
    step.main(main)
