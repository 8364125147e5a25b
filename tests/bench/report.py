"""What is printed: where and how it was measured, the table, and the targets."""

import os
import pathlib
import platform
import statistics
import subprocess
import time

MIB = 1 << 20


def _first_line(path, default="?"):
    try:
        return pathlib.Path(path).read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return default


def _cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _disk(directory):
    device = os.stat(directory).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    filesystem = "?"
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == number:
            filesystem = fields[fields.index("-") + 1]
    block = pathlib.Path(f"/sys/dev/block/{number}").resolve()
    if (block / "partition").exists():
        block = block.parent
    queue = {name: _first_line(block / "queue" / name) for name in
             ("logical_block_size", "dma_alignment", "max_sectors_kb", "max_segments",
              "virt_boundary_mask", "scheduler", "write_cache")}
    size = int(_first_line(block / "size", "0")) * 512 / 1e9
    return (f"{block.name} {size:.0f} GB, {filesystem}; "
            + ", ".join(f"{name} {value}" for name, value in queue.items()))


def _commit():
    git = subprocess.run(["git", "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True, check=False)
    return git.stdout.strip() or "?"


def print_header(bench, repeats):
    blocks = "written before (recycled)" if bench.written_blocks else "new"
    print_run(bench.directory, [
        ("bytes", f"{bench.bytes} a repeat, {repeats} repeats, interleaved"), ("blocks", blocks)])


def print_run(directory, more):
    """Where and when; `more`: pairs of a name and a value."""
    load = os.getloadavg()[0]
    for name, value in (
            ("date", time.strftime("%Y-%m-%d %H:%M:%S %z")),
            ("commit", _commit()),
            ("kernel", platform.release()),
            ("CPU", f"{_cpu_model()}, {os.cpu_count()} cores, load {load:.2f} at the start"),
            ("disk", _disk(directory)),
            *more):
        print(f"{name:8}{value}")
    print(flush=True)


def _spread(values, digits):
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f}..{max(values):.{digits}f})")


class Results:
    """All samples, and the figures made of them."""

    def __init__(self, rows, samples):
        self.rows = rows
        self.samples = samples  # By the name of the row.

    def has(self, *rows):
        return all(self.samples.get(row.name) for row in rows)

    def rate(self, row):
        return statistics.median(sample.gb_per_s for sample in self.samples[row.name])

    def cpu(self, row):
        return statistics.median(sample.cpu_s_per_gb for sample in self.samples[row.name])

    def peak_rss(self, row):
        return max(sample.peak_rss for sample in self.samples[row.name])

    def best(self, rows):
        return max((row for row in rows if self.has(row)), key=self.rate, default=None)

    def print_table(self, bare_loop, peers):
        peer = self.best(peers)
        print(f"{'':26}{'GB/s':>20}{'CPU s/GB':>24}{'peak RSS':>11}{'x bare loop':>13}"
              f"{'x best peer':>13}")
        for row in filter(self.has, self.rows):
            samples = self.samples[row.name]
            bare_ratio, peer_ratio = (
                f"{self.rate(row) / self.rate(base):.2f}" if base and self.has(base) else "-"
                for base in (bare_loop, peer))
            print(f"{row.name:26}{_spread([s.gb_per_s for s in samples], 2):>20}"
                  f"{_spread([s.cpu_s_per_gb for s in samples], 3):>24}"
                  f"{self.peak_rss(row) / MIB:>7.0f} MiB{bare_ratio:>13}{peer_ratio:>13}")
        print(flush=True)


class Targets:
    """Prints what was wished for beside what came out."""

    def at_least(self, what, value, target):
        self._print(what, f"{value:.2f}", f">= {target:.2f}", value >= target)

    def at_most(self, what, value, target, unit=""):
        self._print(what, f"{value:.2f}{unit}", f"<= {target:.2f}{unit}", value <= target)

    def _print(self, what, value, target, holds):
        print(f"{'pass' if holds else 'short':7}{what:52}{value:>14}{target:>16}", flush=True)
