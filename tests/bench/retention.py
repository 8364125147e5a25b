#!/usr/bin/env python3
"""Records at full speed into an archive that goes round and round, while holds come and go.

Run it by retention.sh. Ends with status 0 whatever the figures: they are a benchmark, not a
test. Any other status says that something did not run, that bytes were lost, or that the
archive does not verify.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from measure import GB, BenchError, Program, free_port, programs, wait_all
from report import print_run
from sizes import byte_size

GIB = 1 << 30
# Of the capacity: what one recording may have, and what one hold may.
QUOTA = 1 / 4
BUDGET = 1 / 8
SMALL_BUDGET_SEGMENTS = 4
HOLD_SECONDS = 4  # Between two holds; each stays for three such times.
HOLDS_MAX = 3


def parse_arguments():
    parser = argparse.ArgumentParser(prog="retention.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--minutes", type=float, default=10, help="under load, once full (10)")
    parser.add_argument("--capacity", type=byte_size, default=6 * GIB, help="of the archive (6GiB)")
    parser.add_argument("--segment", type=byte_size, default=64 << 20,
                        help="of one segment (64MiB)")
    parser.add_argument("--senders", type=int, default=2,
                        help="for each of the two recordings (2)")
    parser.add_argument("--streams", type=int, default=1000,
                        help="that a sender of the second recording opens at a time (1000)")
    parser.add_argument("--round", type=byte_size, default=GIB // 2,
                        help="what a sender sends before it connects anew (512MiB)")
    parser.add_argument("--evidence-round", type=byte_size,
                        help="likewise, of the second recording alone: so how long its streams are")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--dir", type=pathlib.Path, default="/var/tmp",
                        help="where the disk is that is to be measured (/var/tmp)")
    parser.add_argument("--json", type=pathlib.Path, help="also write all figures to this file")
    return parser.parse_args()


def seconds(duration):
    return float((duration or "0s").removesuffix("s"))


class Recorder:
    """A daemon with two recordings: bulk, and one that is kept longer, but has a quota."""

    def __init__(self, arguments, directory, running):
        self._sluice = arguments.bin / "control/sluice"
        self.archive = directory / "archive"
        self._socket = directory / "sluice.sock"
        self.ports = {"bulk": free_port(), "evidence": free_port()}
        config = directory / "sluice.textproto"
        quota = max(int(arguments.capacity * QUOTA), 8 * arguments.segment)
        config.write_text(f"""
            archive {{ directory: "{self.archive}" capacity: "{arguments.capacity}B"
                       segment_size: "{arguments.segment}B" }}
            lanes: {arguments.lanes}
            api {{ unix_socket: "{self._socket}" }}
            retention_class {{ name: "evidence" priority: 10 quota: "{quota}B" }}
            recording {{ id: "bulk" tcp_listen {{ address: "127.0.0.1:{self.ports['bulk']}" }} }}
            recording {{ id: "evidence" retention_class: "evidence"
                         tcp_listen {{ address: "127.0.0.1:{self.ports['evidence']}" }} }}
            """)
        self.program = Program([self._sluice, "serve", "--config", config])
        running.append(self.program)
        deadline = time.monotonic() + 120
        while self.ask("status").returncode != 0:
            if time.monotonic() > deadline:
                raise BenchError("the daemon does not answer")
            time.sleep(0.1)

    def ask(self, *words):
        return subprocess.run([self._sluice, *words, "--socket", self._socket, "--output", "json"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False)

    def answer(self, *words):
        asked = self.ask(*words)
        if asked.returncode != 0:
            raise BenchError(f"sluice {' '.join(words)}: {asked.stderr.strip()}")
        return json.loads(asked.stdout)

    def status(self):
        return self.answer("status")

    def stop(self):
        self.program.kill(signal.SIGTERM)
        wait_all([self.program], 120)

    def verify(self, *options):
        start = time.monotonic()
        verified = subprocess.run(
            [self._sluice, "verify", "--archive", self.archive, "--output", "json", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if verified.returncode != 0:
            raise BenchError(f"sluice verify {' '.join(options)}: status {verified.returncode}\n"
                             f"{verified.stdout}{verified.stderr}")
        return json.loads(verified.stdout), time.monotonic() - start


class Senders:
    """Local senders at full speed, each with new connections after each round."""

    def __init__(self, arguments, recorder, running):
        self._running = running
        self.sent = {name: 0 for name in recorder.ports}
        self._active = {}
        for name, port in recorder.ports.items():
            streams = 4 if name == "bulk" else arguments.streams
            round_bytes = (name == "evidence" and arguments.evidence_round) or arguments.round
            for number in range(arguments.senders):
                command = [arguments.bin / "tests/bench/stream_source", "--to",
                           f"127.0.0.1:{port}", "--bytes", round_bytes,
                           "--streams", streams]
                self._start(name, command)

    def _start(self, name, command):
        program = Program(command, stdout=subprocess.PIPE)
        self._running.append(program)
        self._active[program] = (name, command)

    def turn(self, go_on=True):
        """Counts rounds that are over; starts others."""
        for program, (name, command) in list(self._active.items()):
            if os.waitid(os.P_PIDFD, program.pidfd,
                         os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            program.reap()  # It fails when a stream did.
            self.sent[name] += json.loads(program.process.stdout.read())["bytes"]
            program.process.stdout.close()
            self._running.remove(program)
            del self._active[program]
            if go_on:
                self._start(name, command)

    def finish(self):
        deadline = time.monotonic() + 300
        while self._active:
            self.turn(go_on=False)
            if time.monotonic() > deadline:
                raise BenchError("senders do not come to an end")
            time.sleep(0.05)


class Holds:
    """Three kinds in turn: of some seconds, one that soon is at its budget, one far too large."""

    def __init__(self, arguments, recorder):
        self._recorder = recorder
        self._budget = int(arguments.capacity * BUDGET)
        self._small = SMALL_BUDGET_SEGMENTS * arguments.segment
        self._next = 0
        self._number = 0
        self._held = []
        self.placed = self.refused = self.released = 0
        self.at_budget = 0
        self.most_held = 0
        self.refusals = set()
        self.slowest = 0.0

    def turn(self, now):
        if now < self._next:
            return
        self._next = now + HOLD_SECONDS
        self._look()
        if len(self._held) >= HOLDS_MAX:
            self.release_one()
        self._place()

    def _timed(self, *words):
        start = time.monotonic()
        asked = self._recorder.ask("retention", *words)
        self.slowest = max(self.slowest, time.monotonic() - start)
        return asked

    def _place(self):
        kind = self._number % 4
        name = f"hold-{self._number}"
        self._number += 1
        selector, budget, since = [
            ("bulk", self._budget, "0s"), ("evidence", self._small, "0s"),
            ("bulk", self._small, "0s"), ("-", self._small, None)][kind]
        words = ["hold", selector, "--id", name, "--owner", "bench", "--reason", "benchmark",
                 "--budget", f"{budget}B"]
        asked = self._timed(*words, *(["--from", since] if since else []))
        if asked.returncode == 0:
            self.placed += 1
            self._held.append(name)
        else:
            self.refused += 1
            self.refusals.add(asked.stderr.strip().split(":")[-1].strip()[:100])

    def _look(self):
        holds = self._recorder.answer("retention", "holds")
        self.at_budget = max(self.at_budget, sum(
            1 for hold in holds if int(hold.get("refusedSegments", 0)) > 0))
        self.most_held = max(self.most_held, sum(int(hold["heldBytes"]) for hold in holds))

    def release_one(self):
        asked = self._timed("release", self._held.pop(0))
        if asked.returncode != 0:
            raise BenchError(f"release: {asked.stderr.strip()}")
        self.released += 1

    def release_all(self):
        self._look()
        while self._held:
            self.release_one()


def figures(status):
    return {recording["name"].split("/")[1]: recording["figures"]
            for recording in status["recordings"]}


def is_full(status):
    archive = status["archive"]
    return int(archive["segmentsUsed"]) >= int(archive["segmentCount"]) - 2


def print_waits(waits):
    """Of lanes that had nothing to write into; a first segment is always waited for."""
    classes = [int(number) for number in waits.get("classes", [])]
    most = max(classes, default=0)
    for i, number in enumerate(classes):
        if number == 0:
            continue
        name = f"< {1 << i} ms" if i + 1 < len(classes) else f">= {1 << (i - 1)} ms"
        print(f"    {name:>12} {number:>8}  {'#' * max(1, number * 50 // most)}")


def print_loans(loans):
    """What segments were waiting for before they came, whether a lane waited for them or not."""
    for part, words in (("inLine", "in the keeper's line"), ("catalog", "in the catalog"),
                        ("disk", "for the header on disk")):
        times = loans.get(part, {})
        classes = [int(number) for number in times.get("classes", [])]
        count = int(times.get("count", 0))
        if count == 0:
            continue
        print(f"  {words}: mean {seconds(times.get('total')) * 1e3 / count:.2f} ms, the half below "
              f"{percentile(classes, 0.5)} ms, 99 % below {percentile(classes, 0.99)} ms, the "
              f"longest {seconds(times.get('longest')) * 1e3:.1f} ms; {count} loans")


def percentile(classes, fraction):
    """The upper end of the class in which it lies, in ms; None: there are none."""
    wanted = sum(classes) * fraction
    for i, number in enumerate(classes):
        wanted -= number
        if number > 0 and wanted <= 0:
            return 1 << i
    return None


def check(name, sent, recorded):
    received, written, durable, dropped = (
        int(recorded[field]) for field in
        ("bytesReceived", "bytesWritten", "bytesDurable", "bytesDropped"))
    if dropped != 0 or int(recorded["writeErrors"]) != 0:
        raise BenchError(f"{name}: {dropped} bytes dropped, {recorded['writeErrors']} writes failed")
    if received != sent or written != sent or durable != sent:
        raise BenchError(f"{name}: {sent} bytes sent, {received} received, {written} written, "
                         f"{durable} durable")


def load(arguments, recorder, running):
    """Fills the archive, then keeps it full. Returns what was sent, and the figures."""
    senders = Senders(arguments, recorder, running)
    holds = Holds(arguments, recorder)
    start = time.monotonic()
    before = began = None
    failures = []
    while began is None or time.monotonic() < began + arguments.minutes * 60:
        senders.turn()
        status = recorder.status()
        failures += [r["failure"] for r in status["recordings"] if r["failure"]]
        if failures:
            raise BenchError(failures[0])
        if began is not None:
            holds.turn(time.monotonic())
        elif is_full(status):
            began, before = time.monotonic(), figures(status)
            print(f"full after {began - start:.0f} s", file=sys.stderr, flush=True)
        elif time.monotonic() > start + 1200:
            raise BenchError("the archive does not become full")
        time.sleep(0.2)
    after = figures(recorder.status())
    rate = {name: (int(after[name]["bytesReceived"]) - int(before[name]["bytesReceived"]))
                  / (time.monotonic() - began) / GB for name in after}
    senders.finish()
    holds.release_all()
    return senders.sent, rate, holds


def await_durable(recorder):
    deadline = time.monotonic() + 60
    while True:
        now = figures(recorder.status())
        if all(seconds(each.get("durableLag")) == 0 and int(each["streamsOpen"]) == 0
               for each in now.values()):
            return now
        if time.monotonic() > deadline:
            raise BenchError("what was sent does not become durable")
        time.sleep(0.1)


def print_figures(arguments, recorded, rate, holds):
    for name, each in recorded.items():
        waits = each.get("segmentWaits", {})
        classes = [int(number) for number in waits.get("classes", [])]
        print(f"{name}: {int(each['bytesReceived']) / GIB:.1f} GiB recorded, {rate[name]:.2f} GB/s "
              f"while full, {int(each['streamsOpened'])} streams, 0 bytes dropped, "
              f"0 refused writes")
        print(f"  waits for a segment: {waits.get('count', 0)}, in all "
              f"{seconds(waits.get('total')) * 1e3:.1f} ms, the longest "
              f"{seconds(waits.get('longest')) * 1e3:.1f} ms; the half is below "
              f"{percentile(classes, 0.5)} ms, 99 % below {percentile(classes, 0.99)} ms")
        print_waits(waits)
        print_loans(each.get("segmentLoans", {}))
        print(f"  longest write {seconds(each.get('longestWrite')) * 1e3:.1f} ms, "
              f"{int(each['bufferWaits'])} pauses for want of memory")
    print(f"holds: {holds.placed} placed, {holds.refused} refused, {holds.released} released, "
          f"{holds.at_budget} at their budget at a time, {holds.most_held / GIB:.2f} GiB held at "
          f"most, slowest answer {holds.slowest * 1e3:.0f} ms")
    for refusal in sorted(holds.refusals):
        print(f"  refused: {refusal}")


def run(arguments, directory):
    print_run(directory, [
        ("archive", f"{arguments.capacity / GIB:.1f} GiB in segments of "
                    f"{arguments.segment >> 20} MiB, {arguments.lanes} lanes"),
        ("load", f"{arguments.minutes:g} minutes once full; {arguments.senders} senders a "
                 f"recording: of 4 streams, and of {arguments.streams}")])
    with programs() as running:
        recorder = Recorder(arguments, directory, running)
        sent, rate, holds = load(arguments, recorder, running)
        recorded = await_durable(recorder)
        recorder.stop()
    for name, each in recorded.items():
        check(name, sent[name], each)
    print_figures(arguments, recorded, rate, holds)
    fast, fast_seconds = recorder.verify("--fast")
    full, full_seconds = recorder.verify()
    for account in full["recordings"]:
        reused = sum(int(removed["segments"]) for removed in account["removed"])
        print(f"{account['recording']}: {reused} segments reused")
    print(f"verify --fast: holds, {fast_seconds:.1f} s; verify: holds, {full_seconds:.1f} s",
          flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(
            {"figures": recorded, "gb_per_s": rate, "verify_fast": fast, "verify": full},
            indent=2) + "\n")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # Unwinds, and so cleans up.
    arguments = parse_arguments()
    try:
        free = shutil.disk_usage(arguments.dir).free
        if free < arguments.capacity + GIB:
            raise BenchError(f"{arguments.dir} has {free / GIB:.1f} GiB free, "
                             f"{arguments.capacity / GIB + 1:.1f} needed")
        with tempfile.TemporaryDirectory(prefix="sluice-bench-", dir=arguments.dir) as directory:
            run(arguments, pathlib.Path(directory))
    except (BenchError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"retention.sh: {error}")


if __name__ == "__main__":
    main()
