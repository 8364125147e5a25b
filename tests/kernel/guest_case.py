"""A test case that records streams in a guest, and what it may ask of the recording."""

import dataclasses
import json
import os
import pathlib
import shutil
import unittest

import lab

HERE = pathlib.Path(__file__).parent
# Where Bazel starts a test, the programs are at their labels' paths.
SLUICE = "control/sluice"
STREAM_SOURCE = "tests/bench/stream_source"
GUEST_MEMORY = 3 << 30  # Enough for a disk in memory, too.


@dataclasses.dataclass
class Place:
    """A file system on a disk of the guest's."""
    filesystem: str
    disks: list[lab.Disk] = dataclasses.field(default_factory=list)
    modules: list[str] = dataclasses.field(default_factory=list)
    device: str = "/dev/disk0"


def nvme(block, filesystem):
    modules = ["xfs"] if filesystem == "xfs" else []  # ext4 is built in.
    return Place(filesystem, [lab.Disk(3 << 30, block)], modules)


# Its memory must begin and end at pages, where that of an NVMe disk need not.
NULL_BLOCK_4KIB = Place("ext4", modules=["null_blk gb=2 memory_backed=1 virt_boundary=1"],
                        device="/dev/nullb0")


@dataclasses.dataclass
class Recording:
    """What the programs in the guest said of it."""
    sent: dict
    summary: dict
    streams: list
    verify: dict
    compared: list[str]

    def number(self, name):
        """Of the recorder's summary; JSON has 64-bit numbers in quotes."""
        return int(self.summary[name])

    def zero_copy_figure(self, name):
        return int(self.summary["figures"]["zeroCopyReceive"][name])


class GuestCase(unittest.TestCase):
    def setUp(self):
        missing = lab.what_is_missing()
        if missing:
            self.skipTest(f"no kernel lab: {missing}")

    def run_lab(self, job):
        return lab.run(job, show=lambda line: print(line, flush=True))

    def run_guest(self, job):
        """For a script that shall succeed."""
        outcome = self.run_lab(job)
        self.assertEqual((outcome.status, outcome.fault), (0, ""))
        return outcome

    def find_program(self, name):
        path = shutil.which(name, path="/usr/sbin:/sbin:" + os.environ.get("PATH", os.defpath))
        if path is None:
            self.skipTest(f"no kernel lab: {name} is not installed")
        return path

    def record(self, place, sender_options, recorder_options, streams=1):
        """Records, exports, compares and verifies; fails unless no byte differs or is missing."""
        mkfs = self.find_program(f"mkfs.{place.filesystem}")
        outcome = self.run_guest(lab.Job(
            HERE / "guest/record.sh",
            [place.device, place.filesystem, f"--streams {streams} {sender_options}",
             "--exit-after-streams", str(streams), *recorder_options],
            memory=GUEST_MEMORY, disks=place.disks, modules=place.modules,
            carried=[SLUICE, STREAM_SOURCE, mkfs]))
        recording = Recording(
            *(json.loads(outcome.report[f"{name}.json"])
              for name in ("sent", "summary", "streams", "verify")),
            outcome.report["compared"].decode().splitlines())
        self._check(recording, streams)
        return recording

    def _check(self, recording, streams):
        sent = recording.sent["bytes"]
        self.assertEqual(recording.sent["streams_failed"], 0)
        for name in ("bytesReceived", "bytesWritten", "bytesDurable"):
            self.assertEqual(recording.number(name), sent, name)
        self.assertEqual(recording.number("bytesDropped"), 0)
        self.assertEqual(recording.number("streamsClosed"), streams)
        self.assertEqual({stream["closeReason"] for stream in recording.streams},
                         {"END_OF_STREAM"})
        self.assertEqual({stream["peerAddress"]: int(stream["durableBytes"])
                          for stream in recording.streams},
                         {stream["local_address"]: stream["bytes"]
                          for stream in recording.sent["sent"]})
        self.assertEqual(len(recording.compared), streams)
        self.assertTrue(recording.verify["ok"], recording.verify)
        self.assertEqual(int(recording.verify["payloadBytes"]), sent)
        disk = recording.number("bytesDisk")
        print(f"{sent} bytes in {streams} streams, {disk / sent:.4f} bytes on disk for each, "
              f"{recording.number('bytesPacked')} packed")
