#!/usr/bin/env python3
"""Loss of power: nothing that a client knew to be durable is lost.

    power_loss_test.py [--rounds=N] [--seed=N]

In a guest, sluice records on a disk whose writes are all logged, flushes among them. At points of
this log, a disk is made as a loss of power would have left it (log_writes.py), and looked at in
another guest. See "Loss of power" in README.md.
"""

import dataclasses
import json
import pathlib
import random
import shutil
import sys
import tempfile
import unittest

import case_report
import lab
from guest_case import HERE, SLUICE, STREAM_SOURCE, GuestCase
from log_writes import MARK, Cuts, Disk, Log

WITNESS = "tests/crash/witness_program"
SEGMENT = 2 << 20
SLOTS = 16
DISKS_AT_A_TIME = 5
RECORDINGS = ["1.5", "0", "1", "2", "0"]  # SECONDS of record_on_log.sh.
BYTES = "40MiB"  # Of each recording: more than the archive holds.

rounds = 6
seed = random.randrange(1 << 32)


@dataclasses.dataclass
class FileSystem:
    name: str
    mkfs_options: str
    disk_bytes: int
    modules: list[str]


EXT4 = FileSystem("ext4", "-E nodiscard,lazy_itable_init=0", 128 << 20, [])
XFS = FileSystem("xfs", "-K", 320 << 20, ["xfs"])


@dataclasses.dataclass
class Round:
    """One loss of power, and what was found afterwards."""
    filesystem: str
    cut: object
    mark: int
    dropped: int  # Bytes of completed writes that the disk never got.
    image: pathlib.Path
    compared: dict = dataclasses.field(default_factory=dict)
    seconds: float = 0
    faults: list[str] = dataclasses.field(default_factory=list)


class PowerLossTest(GuestCase):

    def test_ext4(self):
        self.lose_power_often(EXT4, ["--sync-interval", "20ms", "--flush-interval", "5ms"])

    def test_ext4_without_payload_crc(self):
        self.lose_power_often(EXT4, ["--sync-interval", "50ms", "--flush-interval", "5ms",
                                     "--payload-crc", "false"])

    def test_xfs_two_lanes(self):
        self.lose_power_often(XFS, ["--sync-interval", "50ms", "--flush-interval", "5ms",
                                    "--lanes", "2"])

    def lose_power_often(self, filesystem, recorder_options):
        print(f"rerun with --rounds={rounds} --seed={seed}", flush=True)
        chance = random.Random(f"{seed} {self.id()}")
        directory = pathlib.Path(tempfile.mkdtemp(prefix="power-loss-"))
        report = self.record_on_log(filesystem, recorder_options, directory)
        found = self.cut_and_look(filesystem, report, chance, directory)
        print_table(found)
        for each in found:
            print("".join(f"{each.cut}: {fault}\n" for fault in each.faults), end="")
        self.assertEqual([each.cut for each in found if each.faults], [],
                         f"the log and what was seen meanwhile are kept in {directory}")
        shutil.rmtree(directory)
        self.assertGreater(sum(each.compared["before"] for each in found), 0)

    def record_on_log(self, filesystem, recorder_options, directory):
        mkfs = self.find_program(f"mkfs.{filesystem.name}")
        job = lab.Job(
            HERE / "guest/record_on_log.sh",
            [filesystem.name, filesystem.mkfs_options, str(SLOTS * SEGMENT), str(SEGMENT), BYTES, *RECORDINGS, "--",
             *recorder_options],
            disks=[lab.Disk(filesystem.disk_bytes),
                   lab.Disk(2 << 30, image=directory / "log")],
            modules=["dm-log-writes", *filesystem.modules],
            carried=[SLUICE, STREAM_SOURCE, (WITNESS, "/bin/witness"), mkfs,
                     self.find_program("dmsetup")])
        return self.run_guest(job).report

    def cut_and_look(self, filesystem, report, chance, directory):
        log = Log(directory / "log")
        first = next(number for number, entry in enumerate(log.entries)
                     if entry.flags & MARK and entry.mark == "created")
        cuts = Cuts(log, first)
        chosen = sorted((cuts.choose(chance) for _ in range(max(1, rounds // 3))),
                        key=lambda cut: (cut.flushed, cut.end))
        disk = Disk(log, directory / "flushed", filesystem.disk_bytes)
        found = []
        for number, cut in enumerate(chosen):
            image = directory / f"cut{number}"
            dropped = disk.lose_power(cut, image, chance)
            found.append(Round(filesystem.name, cut, cuts.last_mark(cut), dropped, image))
            if len(found) % DISKS_AT_A_TIME == 0 or number == len(chosen) - 1:
                batch = [each for each in found if not each.compared]
                self.look(filesystem, report, batch, directory)
        log.close()
        return found

    def look(self, filesystem, report, batch, directory):
        (directory / "published").write_bytes(report["published"])
        (directory / "sent").write_text("".join(sent_lines(report)))
        job = lab.Job(
            HERE / "guest/after_power_loss.sh",
            [filesystem.name, str(SLOTS), *(str(each.mark) for each in batch)],
            disks=[lab.Disk(filesystem.disk_bytes, image=each.image) for each in batch],
            modules=filesystem.modules,
            carried=[SLUICE, STREAM_SOURCE, (WITNESS, "/bin/witness"),
                     (directory / "published", "/lab/published"), (directory / "sent", "/lab/sent")])
        report = self.run_guest(job).report
        for number, each in enumerate(batch):
            each.faults = report[f"faults.{number}"].decode().splitlines()
            each.compared = json.loads(report.get(f"compare.{number}") or "{}") or {
                "before": 0, "lost": 0, "reused": 0, "beyond": 0}
            begin, end = (report.get(f"seconds.{number}") or b"0 0").split()
            each.seconds = float(end) - float(begin)
            each.image.unlink()


def sent_lines(report):
    for name, text in report.items():
        stem, _, number = name.partition(".")
        if stem == "sent":
            for stream in json.loads(text)["sent"]:
                yield (f"{stream['local_address']} {number} {stream['stream']} "
                       f"{stream['bytes']}\n")


def print_table(found):
    print("             bytes before the mark             past it   dropped\n"
          "fs     at        were      lost    reused      kept  by the disk  recovery")
    for each in found:
        compared = each.compared
        print(f"{each.filesystem:4} {each.cut.end:6} {compared['before']:9} {compared['lost']:9} "
              f"{compared['reused']:9} {compared['beyond']:9} {each.dropped:12} "
              f"{each.seconds:8.2f} s", flush=True)


def take_options():
    """--rounds=N and --seed=N; what is left is for nobody."""
    for argument in sys.argv[1:]:
        name, _, value = argument.partition("=")
        if name not in ("--rounds", "--seed") or not value.isdigit():
            sys.exit(__doc__)
        globals()[name[2:]] = int(value)


if __name__ == "__main__":
    take_options()
    case_report.main(PowerLossTest)
