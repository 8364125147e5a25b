#!/usr/bin/env python3
"""The lab itself: what it says of guests that end well, badly, or not at all."""

import pathlib
import tempfile

import case_report
import lab
from guest_case import GuestCase


class LabTest(GuestCase):

    def test_status_and_report_come_back(self):
        outcome = self.run_script("echo seen >/report/note; exit 7")
        self.assertEqual((outcome.status, outcome.fault), (7, ""))
        self.assertEqual(outcome.report["note"], b"seen\n")

    def test_disks_are_in_order(self):
        outcome = self.run_script(
            "for disk in /dev/disk0 /dev/disk1; do blockdev --getss $disk; done >/report/blocks",
            disks=[lab.Disk(1 << 20, 512), lab.Disk(1 << 20, 4096)])
        self.assertEqual(outcome.report["blocks"].split(), [b"512", b"4096"])

    def test_complaint_of_the_kernel_is_a_failure(self):
        outcome = self.run_script("echo 'WARNING: at the lab' >/dev/kmsg")
        self.assertEqual(outcome.status, 1)
        self.assertIn("WARNING: at the lab", outcome.fault)

    def test_guest_that_dies(self):
        outcome = self.run_script("poweroff -f")
        self.assertEqual((outcome.status, outcome.fault),
                         (lab.STATUS_NO_GUEST, "the guest died"))

    def test_guest_that_goes_on_and_on(self):
        outcome = self.run_script("while true; do sleep 1000; done", seconds=15)
        self.assertEqual(outcome.status, lab.STATUS_TIMED_OUT)

    def test_module_that_is_not_there(self):
        with self.assertRaisesRegex(lab.CannotRun, "has no module nonesuch"):
            self.run_script("true", modules=["nonesuch"])

    def run_script(self, text, **more):
        with tempfile.TemporaryDirectory() as directory:
            script = pathlib.Path(directory) / "script"
            script.write_text(text + "\n")
            return self.run_lab(lab.Job(script, **more))


if __name__ == "__main__":
    case_report.main(LabTest)
