#!/usr/bin/env python3
"""RECV_ZC without a NIC, from loopback to a disk, in the guest.

    device_less_test.py BLOCK FILESYSTEM [BYTES]

The completions, the area, the refill ring and the writes from the area are those of zero-copy
receive; only that the kernel, not a NIC, puts the payload there. BLOCK is that of an NVMe disk.
"""

import sys

import case_report
from guest_case import NULL_BLOCK_4KIB, GuestCase, nvme

DEVICE_LESS = ["--receiver", "device-less", "--capacity", "1536MiB"]


class DeviceLessCase(GuestCase):

    def record_device_less(self, place, sender_options, *more_options, streams=1):
        recording = self.record(place, sender_options, [*DEVICE_LESS, *more_options], streams)
        # One lane. Each completion was one reference on a page; all went home.
        [receiver] = recording.summary["receivers"]
        self.assertEqual(receiver["kind"], "DEVICE_LESS")
        self.assertGreater(int(receiver["completions"]), 0)
        self.assertEqual(receiver["returned"], receiver["completions"])
        self.assertEqual(receiver["referencesHeld"], "0")
        self.assertGreater(int(receiver["kernelCopiedBytes"]), 0)
        self.assertEqual(recording.number("bytesZeroCopy"), 0)
        self.assertEqual(recording.zero_copy_figure("handedToCopy"), 0)
        return recording


class DiskTest(DeviceLessCase):
    """On one kind of disk and file system."""

    def test_one_stream(self):
        recording = self.record_device_less(self.place, f"--bytes {self.size}")
        self.assert_not_packed(recording)

    def test_200_streams_of_odd_lengths(self):
        recording = self.record_device_less(self.place, "--bytes 200MiB --odd", streams=200)
        self.assert_not_packed(recording)

    def assert_not_packed(self, recording):
        """A disk that takes memory at multiples of four gets it from where the kernel put it.

        Except a fragment of a few bytes, for which that would be mostly padding.
        """
        self.assertLess(recording.number("bytesPacked"), recording.sent["bytes"] / 1000)


class EdgeTest(DeviceLessCase):
    """Where a lane runs out of something, or the disk wants more."""

    def test_disk_with_4KiB_boundary(self):
        self.record_device_less(NULL_BLOCK_4KIB, "--bytes 64MiB")

    def test_disk_with_4KiB_boundary_streams_of_odd_lengths(self):
        self.record_device_less(NULL_BLOCK_4KIB, "--bytes 40MiB --odd", streams=40)

    def test_area_runs_out(self):
        recording = self.record_device_less(
            nvme(512, "ext4"), "--bytes 64MiB", "--receive-area", "1MiB", streams=4)
        self.assertGreater(recording.zero_copy_figure("areaExhausted"), 0)

    def test_completion_queue_runs_out(self):
        recording = self.record_device_less(
            nvme(512, "ext4"), "--bytes 64MiB", "--completions", "64", streams=8)
        self.assertGreater(recording.zero_copy_figure("queueFull"), 0)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        case_report.main(EdgeTest)
    block, filesystem, DiskTest.size = sys.argv[1:]
    DiskTest.place = nvme(int(block), filesystem)
    case_report.main(DiskTest)
