#!/usr/bin/env python3
"""Runs a script in a virtual machine with a new Linux kernel, and hands back what came of it.

The exit status is that of the script; 1 also when the kernel complained, 124 when the time was
over, 125 when the lab cannot run here or the guest died.

    lab.py --disk 2GiB --carry bazel-bin/control/sluice guest/example.sh

The guest has the programs of busybox, lo, the disks as /dev/disk0 and so on, and what is carried
in /bin. Files that the script leaves in /report come back (--report).
"""

import argparse
import dataclasses
import lzma
import pathlib
import shlex
import shutil
import sys
import tarfile
import tempfile

import kernels
from initramfs import Initramfs
from machine import QEMU, Disk, Machine, complaints

HERE = pathlib.Path(__file__).parent
BUSYBOX = pathlib.Path("/bin/busybox")
BOOTS_MAX = 3

STATUS_TIMED_OUT = 124
STATUS_NO_GUEST = 125


class CannotRun(Exception):
    """This machine lacks what the lab, or the job, needs."""


@dataclasses.dataclass
class Job:
    """What is to be run, and in what machine."""
    script: str | pathlib.Path
    arguments: list[str] = dataclasses.field(default_factory=list)
    disks: list[Disk] = dataclasses.field(default_factory=list)
    # "NAME PARAMETER=VALUE..." of the kernel's, or the path of a .ko for NAME.
    modules: list[str] = dataclasses.field(default_factory=list)
    # Paths here, or (path here, absolute path there).
    carried: list = dataclasses.field(default_factory=list)
    memory: int = 2 << 30
    seconds: int = 600
    kernel_image: str | None = None  # Instead of the one in the cache.
    kernel_arguments: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Outcome:
    status: int
    fault: str = ""  # A sentence, when it was not the script that failed.
    console: list[str] = dataclasses.field(default_factory=list)
    report: dict[str, bytes] = dataclasses.field(default_factory=dict)


def what_is_missing():
    """A sentence, or nothing when the lab can run."""
    if shutil.which(QEMU) is None:
        return f"{QEMU} is not installed"
    if not BUSYBOX.exists():
        return "busybox is not installed"
    if kernels.cached_kernel() is None:
        return "no kernel in the cache, tests/kernel/fetch_kernel.py fetches one"
    return ""


def run(job, show=print):
    """Boots a guest for the job. CannotRun when something is missing."""
    with tempfile.TemporaryDirectory(prefix="kernel-lab-") as directory:
        machine = _prepare(job, pathlib.Path(directory))
        for _ in range(BOOTS_MAX):
            boot = machine.boot(job.kernel_arguments, job.seconds, show)
            if boot.up:
                return _judge(job, boot)
            # Emulated, a kernel's first second is a race that it loses now and then. Nothing of
            # the job has run yet.
            show("lab: the guest did not come up")
        return Outcome(STATUS_NO_GUEST, f"the guest did not come up in {BOOTS_MAX} attempts",
                       boot.console)


def _prepare(job, directory):
    missing = what_is_missing()
    if missing:
        raise CannotRun(missing)
    kernel = kernels.cached_kernel()
    initramfs = Initramfs()
    initramfs.add_file(BUSYBOX, "/bin/busybox")
    initramfs.add_link("/bin/sh", "busybox")
    initramfs.add_data("/init", (HERE / "guest/init").read_bytes(), 0o755)
    try:
        _add_modules(initramfs, kernel, job.modules)
    except kernels.NoKernel as error:
        raise CannotRun(str(error)) from error
    for item in job.carried:
        source, place = item if isinstance(item, tuple) else (item, f"/bin/{_name(item)}")
        initramfs.add_program(source, place)
    initramfs.add_file(job.script, "/lab/script")
    command = shlex.join(["exec", "sh", "/lab/script", *job.arguments])
    initramfs.add_data("/lab/command", f"{command}\n".encode())
    for number in range(len(job.disks)):
        initramfs.add_data(f"/lab/disk{number}", b"")
    initramfs.write(directory / "initramfs")

    image = job.kernel_image or kernel.image
    machine = Machine(directory, image, directory / "initramfs", job.memory)
    for disk in job.disks:
        machine.add_disk(disk)
    return machine


def _add_modules(initramfs, kernel, modules):
    """Carries each with those that it needs, and lists them in the order to load them."""
    lines = {}  # By file: one that two need is loaded once.
    for module in modules:
        name, _, parameters = module.partition(" ")
        if name.endswith(".ko"):
            files = [pathlib.Path(name)]
        else:
            files = kernel.load_order(name)
        for file in files:
            place = f"/lab/{file.name.removesuffix('.xz')}"
            data = file.read_bytes()
            initramfs.add_data(place, lzma.decompress(data) if file.suffix == ".xz" else data)
            lines[place] = f"{place} {parameters if file == files[-1] else ''}".rstrip()
    initramfs.add_data("/lab/modules", "".join(line + "\n" for line in lines.values()).encode())


def _judge(job, boot):
    outcome = Outcome(STATUS_NO_GUEST, console=boot.console, report=_read_report(boot.report))
    kernel_log = outcome.report.get("kernel.log", b"").decode(errors="replace").splitlines()
    complained = complaints(kernel_log) or complaints(boot.console)
    if "status" in outcome.report:
        outcome.status = int(outcome.report["status"])
    if complained:
        outcome.status = outcome.status or 1
        outcome.fault = f"the guest's kernel complained: {'; '.join(complained)}"
    elif boot.timed_out:
        outcome.status = STATUS_TIMED_OUT
        outcome.fault = f"the guest was not done after {job.seconds} s"
    elif "status" not in outcome.report:
        outcome.fault = "the guest died"
    return outcome


def _read_report(path):
    """The files of /report; none when the guest died before it had sent them all."""
    try:
        with tarfile.open(path) as report:
            return {_name(member.name): report.extractfile(member).read()
                    for member in report if member.isfile()}
    except tarfile.TarError:
        return {}


def _name(path):
    return pathlib.PurePath(path).name


def parse_size(text):
    units = {"KiB": 10, "MiB": 20, "GiB": 30}
    number, shift = (text[:-3], units[text[-3:]]) if text[-3:] in units else (text, 0)
    return int(number) << shift


def _parse_disk(text):
    size, _, block = text.partition(",lba=")
    return Disk(parse_size(size), int(block or 512))


def _parse_carried(text):
    source, _, place = text.partition(":")
    return (source, place) if place else source


def _parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--disk", type=_parse_disk, action="append", default=[], metavar="SIZE[,lba=BYTES]",
        help="an NVMe disk")
    add("--module", action="append", default=[], metavar="'NAME [PARAMETERS]'",
        help="a module of the kernel's, or the path of a .ko")
    add("--carry", type=_parse_carried, action="append", default=[], metavar="FILE[:PLACE]",
        help="a file, with its libraries when it is a program; default place: /bin")
    add("--memory", type=parse_size, default=2 << 30, metavar="SIZE")
    add("--time-limit", type=int, default=600, metavar="SECONDS")
    add("--kernel", metavar="IMAGE", help="boot this one instead of Debian's")
    add("--kernel-argument", action="append", default=[], metavar="ARGUMENT")
    add("--report", type=pathlib.Path, metavar="DIRECTORY", help="put the files of /report here")
    add("script")
    add("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args()


def main():
    given = _parse_arguments()
    job = Job(given.script, given.arguments, disks=given.disk, modules=given.module,
              carried=given.carry, memory=given.memory, seconds=given.time_limit,
              kernel_image=given.kernel, kernel_arguments=given.kernel_argument)
    try:
        outcome = run(job, show=lambda line: print(line, flush=True))
    except (CannotRun, OSError) as error:
        outcome = Outcome(STATUS_NO_GUEST, str(error))
    if outcome.fault:
        print(f"lab: {outcome.fault}", file=sys.stderr)
    if given.report:
        given.report.mkdir(parents=True, exist_ok=True)
        for name, data in outcome.report.items():
            (given.report / name).write_bytes(data)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
