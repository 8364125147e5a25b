"""How long a recorder needs to listen again after kill -9, with a full archive."""

import shutil
import signal
import subprocess
import time

from measure import BenchError, Program, await_listener, free_port, programs, wait_all

MIB = 1 << 20


def startup_seconds(bench, capacity, repeats):
    """Times restarts, each after a kill in the middle of a stream."""
    archive = bench.directory / "archive"
    try:
        _record_and_kill(bench, archive, capacity, capacity * 7 // 8)
        times = [_record_and_kill(bench, archive, capacity, 64 * MIB) for _ in range(repeats)]
        subprocess.run([bench.sluice, "verify", "--archive", archive], check=True,
                       stdout=subprocess.DEVNULL)
        return times
    finally:
        shutil.rmtree(archive, ignore_errors=True)


def _record_and_kill(bench, archive, capacity, size):
    """Kills a recorder that holds `size` bytes of an open stream. Returns its start-up time."""
    port = free_port()
    with programs() as running:
        start = time.monotonic()
        recorder = Program([bench.sluice, "record", "--tcp", f"127.0.0.1:{port}",
                            "--archive", archive, "--capacity", capacity, "--quiet"],
                           stdout=subprocess.DEVNULL, may_fail=True)
        running.append(recorder)
        await_listener(port, recorder)
        seconds = time.monotonic() - start

        sender = subprocess.Popen(
            [bench.stream_source, "--to", f"127.0.0.1:{port}", "--bytes", str(size),
             "--ending", "hold"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        with sender:
            if "all sent" not in sender.stderr.readline():
                raise BenchError("the recorder did not take the whole stream")
            recorder.kill(signal.SIGKILL)
            wait_all([recorder], 60)
    return seconds
