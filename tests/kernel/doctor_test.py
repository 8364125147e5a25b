#!/usr/bin/env python3
"""`sluice doctor` on a kernel that has device-less receive, and on a disk that needs no packing."""

import json

import case_report
from guest_case import HERE, SLUICE, GuestCase, nvme
from lab import Job


class DoctorTest(GuestCase):

    def test_what_it_finds(self):
        outcome = self.run_guest(Job(
            HERE / "guest/doctor.sh", ["/dev/disk0"], disks=nvme(512, "ext4").disks,
            carried=[SLUICE, self.find_program("mkfs.ext4")]))
        answer = json.loads(outcome.report["doctor.json"])
        states = {check["name"]: check["state"] for check in answer["checks"]}
        self.assertEqual(states["device-less trial"], "OK")
        self.assertTrue(answer["canRecord"])


if __name__ == "__main__":
    case_report.main(DoctorTest)
