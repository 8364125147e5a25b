"""The rows of the table: each puts the same bytes on the same disk, durably."""

import dataclasses
import json
import shutil
import subprocess

from measure import GB, BenchError, Program, Sample, programs, wait_all
from transfer import transfer

MIB = 1 << 20
GIB = 1 << 30


def fill(path, size):
    """Gives a file blocks that have been written before."""
    subprocess.run(["dd", "if=/dev/urandom", f"of={path}", "bs=1M", "oflag=direct",
                    f"count={-(-size // MIB)}", "status=none"], check=True)


class Peer:
    """A common tool, or a pipe of them, with the options that suit it best."""

    streams = 1

    def __init__(self, name, commands, prints=False):
        self.name = name
        self._commands = commands
        self._prints = prints  # The recording goes to standard output.

    def run(self, bench, first):
        file = bench.directory / "recorded"
        try:
            with open(file, "wb") as output:
                sample = transfer(bench, lambda port: self._commands(port, file),
                                  output=output if self._prints else None, sync=file)
            bench.check_stream(bench.bytes, file)
        finally:
            file.unlink(missing_ok=True)
        return sample


NC = Peer("nc -l > file", lambda port, file: [["nc", "-l", "127.0.0.1", port]], prints=True)
SOCAT = Peer("socat", lambda port, file: [
    ["socat", "-u", "-b", 256 << 10, f"TCP-LISTEN:{port},bind=127.0.0.1",
     f"OPEN:{file},wronly,creat,trunc"]])
NC_DD = Peer("nc -l | dd oflag=direct", lambda port, file: [
    ["nc", "-l", "127.0.0.1", port],
    ["dd", f"of={file}", "bs=1M", "iflag=fullblock", "oflag=direct", "status=none"]])


class BareLoop:
    """The yardstick: bare_loop.cc."""

    def __init__(self, streams=1):
        self.name = "bare loop" if streams == 1 else f"bare loop, {streams} streams"
        self.streams = streams

    def run(self, bench, first):
        file = bench.directory / "recorded"
        try:
            if bench.written_blocks:
                fill(file, bench.bytes)
            sample = transfer(bench, lambda port: [
                [bench.bare_loop, "--port", port, "--file", file, "--size", bench.bytes,
                 "--streams", self.streams]], self.streams)
            if file.stat().st_size != bench.bytes:
                raise BenchError(f"{self.name}: recorded {file.stat().st_size} bytes")
            if self.streams == 1:  # Several are mixed.
                bench.check_stream(bench.bytes, file)
        finally:
            file.unlink(missing_ok=True)
        return sample


class Sluice:
    """The program under test, with a fresh archive for each run."""

    def __init__(self, name, options=(), streams=1):
        self.name = name
        self.streams = streams
        self._options = list(options)
        self.region_bytes = None  # Known after a run.

    def run(self, bench, first):
        archive = bench.directory / "archive"
        capacity = bench.bytes * 5 // 4 + GIB
        try:
            if bench.written_blocks:  # Once round: what follows reuses the oldest segments.
                whole = dataclasses.replace(bench, bytes=capacity)
                transfer(whole, lambda port: self._command(bench, port, archive, capacity, 1))
            sample = transfer(
                bench,
                lambda port: self._command(bench, port, archive, capacity, self.streams),
                self.streams)
            self._check(bench, json.loads(sample.output))
            if first and not bench.written_blocks:
                self._check_streams(bench, archive)
        finally:
            shutil.rmtree(archive, ignore_errors=True)
        return sample

    def _command(self, bench, port, archive, capacity, streams):
        return [[bench.sluice, "record", "--tcp", f"127.0.0.1:{port}", "--archive", archive,
                 "--capacity", capacity, "--exit-after-streams", streams, "--output", "json", "--quiet",
                 *self._options]]

    def _check(self, bench, summary):
        """What the recorder itself says."""
        self.region_bytes = int(summary["regionBytes"])
        received, written, dropped = (
            int(summary[name]) for name in ("bytesReceived", "bytesWritten", "bytesDropped"))
        if received != bench.bytes or written < bench.bytes or dropped != 0:
            raise BenchError(f"{self.name}: {bench.bytes} bytes sent, {received} received, "
                             f"{written} written, {dropped} dropped")

    def _check_streams(self, bench, archive):
        """What comes out again, byte by byte."""
        subprocess.run([bench.sluice, "verify", "--archive", archive], check=True,
                       stdout=subprocess.DEVNULL)
        listed = subprocess.run(
            [bench.sluice, "streams", "--archive", archive, "--output", "json"],
            check=True, stdout=subprocess.PIPE)
        streams = json.loads(listed.stdout)
        if sum(int(stream.get("durableBytes", 0)) for stream in streams) != bench.bytes:
            raise BenchError(f"{self.name}: the archive does not hold what was sent")
        for stream in streams:
            export = subprocess.Popen(
                [bench.sluice, "export", stream["name"], "--archive", archive, "--to", "-"],
                stdout=subprocess.PIPE)
            with export:
                bench.check_stream(int(stream.get("durableBytes", 0)), stdin=export.stdout)
            if export.returncode != 0:
                raise BenchError(f"{self.name}: export {stream['name']} failed")


class Fio:
    """The ceiling: what the disk takes when there is no network."""

    name = "fio (disk alone)"
    streams = 1

    def run(self, bench, first):
        file = bench.directory / "recorded"
        try:
            if bench.written_blocks:
                fill(file, bench.bytes)
            with programs() as running:
                running.append(Program(
                    ["fio", "--name=ceiling", f"--filename={file}", "--rw=write", "--bs=1M",
                     "--direct=1", "--ioengine=io_uring", "--iodepth=16", "--fixedbufs",
                     f"--size={bench.bytes}", "--end_fsync=1", "--output-format=json"],
                    stdout=subprocess.PIPE))
                wait_all(running, bench.seconds_max)
                fio = running[0]
            job = json.load(fio.process.stdout)["jobs"][0]
            return Sample(gb_per_s=job["write"]["bw_bytes"] / GB,
                          cpu_s_per_gb=fio.cpu_seconds / (bench.bytes / GB),
                          peak_rss=fio.peak_rss)
        finally:
            file.unlink(missing_ok=True)
