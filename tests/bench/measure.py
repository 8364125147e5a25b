"""Runs programs and says what they took: CPU, memory, and how they ended."""

import contextlib
import dataclasses
import os
import resource
import select
import signal
import socket
import subprocess
import time

GB = 1e9


class BenchError(Exception):
    """Something did not run, or bytes were lost."""


@dataclasses.dataclass
class Sample:
    """What one receiver took for one run."""
    gb_per_s: float
    cpu_s_per_gb: float
    peak_rss: int
    output: str = ""  # Of the last stage.


class Program:
    """A running command, reaped once with its resource usage (and its children's)."""

    def __init__(self, command, stdin=subprocess.DEVNULL, stdout=None, may_fail=False):
        self.command = [str(word) for word in command]
        self.may_fail = may_fail
        # A child inherits the peak of the process that it was forked from.
        self._inherited_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._sampled_rss = 0
        self.usage = None
        self.process = subprocess.Popen(self.command, stdin=stdin, stdout=stdout)
        self.pidfd = os.pidfd_open(self.process.pid)

    @property
    def running(self):
        return self.usage is None

    def sample_memory(self):
        """Notes the peak so far, as /proc knows it. Huge pages of hugetlbfs count too."""
        with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
            kib = sum(int(fields.get(name, "0 kB").split()[0])
                      for name in ("VmHWM", "HugetlbPages"))
            self._sampled_rss = max(self._sampled_rss, kib * 1024)

    def reap(self):
        """Waits for the end; raises if it was a bad one."""
        _, status, self.usage = os.wait4(self.process.pid, 0)
        os.close(self.pidfd)
        code = self.process.returncode = os.waitstatus_to_exitcode(status)
        if code != 0 and not self.may_fail:
            raise BenchError(f"{' '.join(self.command)}: status {code}")

    def kill(self, number=signal.SIGKILL):
        if self.running:
            signal.pidfd_send_signal(self.pidfd, number)

    @property
    def cpu_seconds(self):
        return self.usage.ru_utime + self.usage.ru_stime

    @property
    def peak_rss(self):
        reported = self.usage.ru_maxrss * 1024
        return max(self._sampled_rss, reported if reported > self._inherited_rss else 0)


@contextlib.contextmanager
def programs():
    """A list for running programs: whatever happens, none of them stays behind."""
    started = []
    try:
        yield started
    finally:
        for program in started:
            if program.running:
                program.may_fail = True
                program.kill()
                program.reap()


def wait_all(running, seconds):
    """Reaps each program as it ends."""
    poll = select.poll()
    by_pidfd = {program.pidfd: program for program in running if program.running}
    for pidfd in by_pidfd:
        poll.register(pidfd, select.POLLIN)
    deadline = time.monotonic() + seconds
    while by_pidfd:
        for pidfd, _ in poll.poll(50):
            poll.unregister(pidfd)
            by_pidfd.pop(pidfd).reap()
        for program in by_pidfd.values():
            program.sample_memory()
        if time.monotonic() > deadline:
            raise BenchError(f"still running after {seconds:.0f} s: "
                             + "; ".join(" ".join(p.command) for p in by_pidfd.values()))


def free_port():
    # A new one for each run: the kernel takes apart a ring, and the listener that the
    # ring refers to, some time after the process that owned them is gone.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_listening(port):
    with open("/proc/net/tcp") as table:
        next(table)
        for line in table:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == port:
                return True
    return False


def await_listener(port, program, seconds=120):
    """Returns when somebody listens on the port."""
    deadline = time.monotonic() + seconds
    while not is_listening(port):
        if select.select([program.pidfd], [], [], 0.0005)[0]:
            program.reap()
            raise BenchError(f"{' '.join(program.command)}: ended before it listened")
        if time.monotonic() > deadline:
            raise BenchError(f"{' '.join(program.command)}: does not listen")
