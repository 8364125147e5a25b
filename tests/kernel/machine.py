"""A virtual machine: boots a kernel once, shows its console, and says how it ended."""

import dataclasses
import pathlib
import re
import selectors
import subprocess
import time

QEMU = "qemu-system-x86_64"
UP = "lab: up"  # What the guest says once it is.
BOOT_SECONDS = 120  # It takes two when nobody else works.

KERNEL_ARGUMENTS = [
    "console=ttyS0", "quiet", "loglevel=4", "mitigations=off", "random.trust_cpu=on",
    "panic=-1",  # Ends QEMU, with -no-reboot.
    "no_timer_check",  # A busy host makes the timer look broken.
    # QEMU translates a program again when it is at another address: starting sluice takes half
    # the time when it is always at the same one.
    "norandmaps",
]

# The kernel, not a program: its lines begin with the time since the boot.
COMPLAINT = re.compile(r"^\[ *\d+\.\d+\].*"
                       r"(BUG:|WARNING:|Oops|general protection|Kernel panic|"
                       r"blocked for more than)")
TERMINAL_CONTROL = re.compile(r"\x1b(\[[0-9;?=]*[A-Za-z]|c)|\r")


@dataclasses.dataclass
class Disk:
    """An NVMe disk. The guest finds disk number N as /dev/diskN."""
    size: int
    block: int = 512
    # A file that holds it, before and after; None: empty at first, and gone afterwards.
    image: pathlib.Path | None = None


@dataclasses.dataclass
class Boot:
    """What became of a guest."""
    up: bool = False
    timed_out: bool = False
    console: list[str] = dataclasses.field(default_factory=list)
    report: pathlib.Path | None = None  # What came through the second serial port.


def complaints(lines):
    return [line for line in lines if COMPLAINT.match(line)]


class Machine:

    def __init__(self, directory, kernel_image, initramfs, memory):
        self._directory = directory
        self._report = directory / "report"
        # TCG runs `rep movsb`, which "erms" asks for, byte by byte. One processor: with more,
        # QEMU 7.2 now and then trips over a kernel that patches its own code.
        self._command = [
            QEMU, "-accel", "tcg,tb-size=512", "-cpu", "max,-la57,-erms", "-smp", "1",
            "-machine", "q35", "-m", str(memory >> 20) + "M", "-display", "none", "-nodefaults",
            "-no-reboot", "-serial", "stdio", "-serial", f"file:{self._report}",
            "-kernel", str(kernel_image), "-initrd", str(initramfs)]

    def add_disk(self, disk):
        number = self._command.count("-drive")
        file = disk.image or self._directory / f"disk{number}"
        with open(file, "ab") as image:
            image.truncate(disk.size)
        self._command += [
            "-drive", f"id=d{number},if=none,file={file},format=raw,cache=unsafe,discard=unmap",
            "-device", f"nvme,id=n{number},serial=disk{number}",
            "-device", f"nvme-ns,drive=d{number},bus=n{number},"
                       f"logical_block_size={disk.block},physical_block_size={disk.block}"]

    def boot(self, kernel_arguments, seconds, show):
        """Runs the guest to its end, for at most so long. `show` is given each line it prints."""
        arguments = KERNEL_ARGUMENTS + list(kernel_arguments)
        boot = Boot(report=self._report)
        self._report.write_bytes(b"")
        start = time.monotonic()
        with subprocess.Popen(self._command + ["-append", " ".join(arguments)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, bufsize=0) as qemu:
            for line in _lines(qemu.stdout, lambda: start + (seconds if boot.up else BOOT_SECONDS)):
                if line is None:
                    boot.timed_out = True
                    qemu.kill()
                    break
                boot.console.append(line)
                boot.up = boot.up or line.startswith(UP)
                show(line)
        return boot


def _lines(pipe, deadline):
    """The lines that come through a pipe until its end; None and no more after the deadline."""
    rest = ""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0, deadline() - time.monotonic())):
                yield None
                return
            data = pipe.read(65536)
            *lines, rest = (rest + data.decode(errors="replace")).split("\n")
            for line in lines:
                yield TERMINAL_CONTROL.sub("", line)
            if not data:
                if rest:
                    yield TERMINAL_CONTROL.sub("", rest)
                return
