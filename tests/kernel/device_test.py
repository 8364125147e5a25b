#!/usr/bin/env python3
"""Zero-copy receive from a NIC to a disk, in the guest.

The NIC is nic/sluicenic.ko. The kernel takes it for one, and so does the recorder; only that its
DMA is a memcpy.
"""

import re
import subprocess

import case_report
from guest_case import HERE, SLUICE, GuestCase, nvme
from lab import Job

QUEUE = 3
ZERO_COPY = ["--receiver", "zero-copy", "--interface", "sluicenic0", "--queue", str(QUEUE),
             "--capacity", "1536MiB"]
ODD = 1  # enum sluicenic_placement
SCATTERED = 2


class NicCase(GuestCase):
    """With the NIC in the guest."""

    steering = "queue"
    knobs = {}
    tso = "on"

    @classmethod
    def setUpClass(cls):
        # Built already, as a rule: deploy/test.sh does it.
        cls.build = subprocess.run([HERE / "nic/build.sh"], capture_output=True, text=True)

    def setUp(self):
        super().setUp()
        if self.build.returncode != 0:
            self.skipTest(f"no kernel lab: {self.build.stderr.strip()}")

    def run_lab(self, job):
        built = self.build.stdout.strip()
        if job.script == HERE / "guest/record.sh":
            self._record_from_nic(job)
        job.carried = [*job.carried, f"{built}/ethtool", (HERE / "nic/setup", "/bin/nic_setup")]
        job.modules = [*job.modules, f"{built}/sluicenic.ko"]
        outcome = super().run_lab(job)
        self.nic = {name: int(value) for name, value in re.findall(
            rf"rx{QUEUE}_(\w+): (\d+)", outcome.report.get("nic", b"").decode())}
        print("NIC:", ", ".join(f"{name} {value}" for name, value in self.nic.items() if value))
        return outcome

    def _record_from_nic(self, job):
        knobs = " ".join(f"{name}={value}" for name, value in self.knobs.items())
        job.arguments = [self.steering, knobs, self.tso, *job.arguments]
        job.carried = [*job.carried, (job.script, "/lab/record.sh")]
        job.script = HERE / "nic/record.sh"


class DeviceTest(NicCase):

    def record_from_nic(self, sender_options, *more_options, streams=1):
        recording = self.record(nvme(512, "ext4"), sender_options, [*ZERO_COPY, *more_options],
                                streams)
        # One lane. Each completion was one reference on a page; all went home.
        [self.receiver] = recording.summary["receivers"]
        self.assertEqual(self.receiver["kind"], "ZERO_COPY")
        self.assertEqual(self.receiver["returned"], self.receiver["completions"])
        self.assertEqual(self.receiver["referencesHeld"], "0")
        return recording

    def assert_not_copied(self, recording):
        """Not one byte, by nobody; so the NIC's counters say, too."""
        self.assertEqual(self.receiver["kernelCopiedBytes"], "0")
        self.assertEqual(recording.number("bytesZeroCopy"), recording.sent["bytes"])
        self.assertEqual(recording.number("bytesCopied"), 0)
        self.assertEqual(recording.zero_copy_figure("handedToCopy"), 0)
        self.assertGreaterEqual(self.nic["fragments"], int(self.receiver["completions"]) / 2)

    def test_one_stream(self):
        recording = self.record_from_nic("--bytes 256MiB")
        self.assert_not_copied(recording)
        self.assertGreater(self.nic["shared"], 0)

    def test_one_stream_of_small_packets(self):
        self.tso = "off"
        recording = self.record_from_nic("--bytes 64MiB")
        self.assert_not_copied(recording)
        self.assertGreater(self.nic["shared"], self.nic["buffers"])

    def test_200_streams_of_odd_lengths(self):
        recording = self.record_from_nic("--bytes 200MiB --odd", streams=200)
        self.assert_not_copied(recording)

    def test_odd_offsets(self):
        self.knobs = {"buffer_placement": ODD}
        recording = self.record_from_nic("--bytes 64MiB")
        self.assert_not_copied(recording)
        self.assertEqual(self.nic["odd"], self.nic["fragments"])

    def test_scattered_fragments(self):
        self.knobs = {"buffer_placement": SCATTERED, "buffer_offset": 1000, "fragment_size": 1777}
        recording = self.record_from_nic("--bytes 100MiB --odd", streams=50)
        self.assert_not_copied(recording)
        self.assertGreater(self.nic["odd"], 0)
        self.assertGreater(self.nic["shared"], 0)

    def test_drops(self):
        self.knobs = {"drop_every": 50}
        self.tso = "off"
        recording = self.record_from_nic("--bytes 32MiB", streams=4)
        self.assert_not_copied(recording)
        self.assertGreater(self.nic["forced"], 0)

    def test_buffers_run_out(self):
        recording = self.record_from_nic("--bytes 64MiB", "--receive-area", "1MiB", streams=4)
        self.assert_not_copied(recording)
        self.assertGreater(self.nic["alloc_fail"], 0)

    def test_payload_behind_its_headers(self):
        """Which some NICs do with what is short. The kernel copies it, and does not count it."""
        self.knobs = {"inline_size": 500}
        self.record_from_nic("--bytes 50MiB --odd", streams=50)
        self.assertGreater(self.nic["inlined"], 0)
        self.assertGreater(self.nic["split"], 0)

    def test_streams_steered_away(self):
        self.steering = "away"
        recording = self.record_from_nic("--bytes 32MiB", streams=4)
        self.assertEqual(recording.number("bytesZeroCopy"), 0)
        self.assertEqual(recording.number("bytesCopied"), recording.sent["bytes"])
        self.assertEqual(self.nic["split"], 0)

    def test_streams_that_leave_the_queue(self):
        self.steering = "leave"
        recording = self.record_from_nic("--bytes 128MiB", streams=4)
        self.assert_partly_copied(recording)

    def assert_partly_copied(self, recording):
        zero_copy = recording.number("bytesZeroCopy")
        copied = recording.number("bytesCopied")
        self.assertGreater(zero_copy, 0)
        self.assertGreater(copied, 0)
        self.assertEqual(zero_copy + copied, recording.sent["bytes"])

    def test_streams_of_which_some_are_steered(self):
        self.steering = "spread"
        recording = self.record_from_nic("--bytes 100MiB --odd", streams=100)
        self.assert_partly_copied(recording)

    def test_refusals(self):
        outcome = self.run_guest(Job(HERE / "nic/refusals.sh", carried=[SLUICE]))
        for name, status, sentence in [
                ("split_off", 1, "sluicenic0 does not split headers from payload"),
                ("split_off_auto", 0, r"receiver: copy, because .*does not split headers"),
                ("no_such_queue", 1, "sluicenic0 has no receive queue 4"),
                ("lo", 1, "lo is not a network card"),
                ("taken", 1, "queue 3 of sluicenic0 is not possible: a program has that queue")]:
            with self.subTest(name):
                said = outcome.report[name].decode()
                self.assertRegex(said, sentence)
                self.assertTrue(said.endswith(f"status {status}\n"), said)

    def test_two_lanes_each_with_its_queue(self):
        """A connection is received by the lane whose queue carries it, whichever accepts it."""
        self.steering = "spread"
        recording = self.record(
            nvme(512, "ext4"), "--bytes 100MiB --odd",
            ["--receiver", "zero-copy", "--interface", "sluicenic0", "--queue", "2,3",
             "--lanes", "2", "--capacity", "1536MiB"], streams=100)
        for receiver in recording.summary["receivers"]:
            self.assertEqual(receiver["kind"], "ZERO_COPY")
            self.assertGreater(int(receiver["completions"]), 0)
            self.assertEqual(receiver["returned"], receiver["completions"])
            self.assertEqual(receiver["kernelCopiedBytes"], "0")
        self.assertEqual(recording.zero_copy_figure("steeredAway"), 0)
        self.assertGreater(recording.number("bytesZeroCopy"), 0)
        self.assertGreater(int(recording.summary["figures"]["handedOver"]), 0)


if __name__ == "__main__":
    case_report.main(DeviceTest)
