"""One timed transfer: from the start of the sender until all is durable."""

import dataclasses
import os
import pathlib
import subprocess
import time

from measure import GB, BenchError, Program, Sample, await_listener, free_port, programs, wait_all


@dataclasses.dataclass
class Bench:
    """What all transfers share: the programs, the disk, and how much to send."""
    bin_dir: pathlib.Path
    directory: pathlib.Path
    bytes: int
    written_blocks: bool = False

    @property
    def sluice(self):
        return self.bin_dir / "control/sluice"

    @property
    def bare_loop(self):
        return self.bin_dir / "tests/bench/bare_loop"

    @property
    def stream_source(self):
        return self.bin_dir / "tests/bench/stream_source"

    @property
    def seconds_max(self):
        return 120 + self.bytes / 20e6

    def check_stream(self, size, file="-", stdin=None):
        """Compares a file, or what a pipe gives, with the stream that its first bytes name."""
        command = [self.stream_source, "--check", file, "--bytes", str(size)]
        if subprocess.run(command, stdin=stdin, check=False).returncode != 0:
            raise BenchError("what was recorded is not what was sent")


def start_pipeline(commands, output, running):
    """Starts the stages of a pipe. The last one writes to `output` or, if None, to us."""
    stdin = subprocess.DEVNULL
    for command in commands:
        last = command is commands[-1]
        stdout = output if last and output is not None else subprocess.PIPE
        running.append(Program(command, stdin, stdout))
        if stdin is not subprocess.DEVNULL:
            stdin.close()  # From here on only the reader holds this end.
        stdin = running[-1].process.stdout


def transfer(bench, commands, streams=1, output=None, sync=None):
    """Sends the bench's bytes to a receiver.

    Args:
      commands: a function of the port: the stages of a pipe, the first of which listens there.
      streams: how many connections share the bytes.
      output: the file that the last stage writes to, if that is its standard output.
      sync: the file to sync afterwards, for receivers that do not.
    """
    os.sync()  # Nobody pays for the dirty pages of another.
    port = free_port()
    with programs() as running:
        start_pipeline(commands(port), output, running)
        receivers = list(running)
        await_listener(port, receivers[0])

        start = time.monotonic()
        running.append(Program([bench.stream_source, "--to", f"127.0.0.1:{port}", "--bytes",
                                bench.bytes, "--streams", streams], stdout=subprocess.DEVNULL))
        wait_all(running, bench.seconds_max)
        if sync is not None:
            running.append(Program(["sync", sync]))
            receivers.append(running[-1])
            wait_all(running, bench.seconds_max)
        seconds = time.monotonic() - start

        printed = running[len(commands(port)) - 1].process.stdout
        return Sample(
            gb_per_s=bench.bytes / GB / seconds,
            cpu_s_per_gb=sum(program.cpu_seconds for program in receivers) / (bench.bytes / GB),
            peak_rss=sum(program.peak_rss for program in receivers),
            output=printed.read().decode() if printed else "")
