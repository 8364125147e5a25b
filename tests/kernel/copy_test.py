#!/usr/bin/env python3
"""The copying receiver, in the guest: what the other tests of the lab compare with."""

import case_report
from guest_case import GuestCase, nvme


class CopyTest(GuestCase):

    def test_one_stream(self):
        recording = self.record(nvme(512, "ext4"), "--bytes 64MiB", ["--capacity", "1GiB"])
        self.assertEqual(recording.number("bytesCopied"), recording.sent["bytes"])
        self.assertEqual(recording.number("bytesZeroCopy"), 0)


if __name__ == "__main__":
    case_report.main(CopyTest)
