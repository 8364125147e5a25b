#!/usr/bin/env python3
"""`sluice nic` on a card in the guest, through the kernel: netlink, ioctl, and kill -9.

The card is nic/sluicenic.ko.
"""

import case_report
from device_test import NicCase
from guest_case import HERE, SLUICE
from lab import Job


class NicTransactionTest(NicCase):

    def run_transaction(self):
        strace = self.find_program("strace")
        outcome = self.run_guest(Job(HERE / "nic/transaction.sh", carried=[SLUICE, strace]))
        return {name: text.decode() for name, text in outcome.report.items()}

    def test_there_and_back_killed_and_refused(self):
        report = self.run_transaction()
        self.assertTrue(report["apply"].endswith("status 0\n"), report["apply"])
        steps = [line for line in report["plan"].splitlines() if line.startswith("ethtool")]
        done = [line for line in report["apply"].splitlines() if line.startswith("ethtool")]
        self.assertEqual(steps, done)
        self.assertGreater(len(steps), 4)
        self.assertNotEqual(report["before"], report["after"])
        self.assertRegex(report["after"], r"TCP data split:\s+on")
        self.assertIn("Dest port: 22", report["after"])  # Somebody's rule stays.
        self.assertIn("Dest port: 9000", report["after"])
        self.assertIn("dst-port 9001", report["drift"])
        self.assertTrue(report["drift"].endswith("status 1\n"), report["drift"])
        self.assertEqual(report["before"], report["reverted"])

        killed = [line.split() for line in report["killed"].splitlines()]
        self.assertEqual([], [line for line in killed if line[2] != "same"])
        for what in ["apply-write", "apply-rename", "revert-write"]:
            codes = [code for when, code, _ in killed if when.startswith(what)]
            # At each call once, and then it ran through.
            self.assertEqual(codes, ["137"] * (len(codes) - 1) + ["0"])
            self.assertGreater(len(codes), 2)
        self.assertGreater(len([line for line in killed if line[1] == "137"]), 2 * len(steps))
        refused = [line.split() for line in report["refused"].splitlines()]
        self.assertGreater(len(refused), 2)
        self.assertEqual([], [line for line in refused if line[2] != "same"])


if __name__ == "__main__":
    case_report.main(NicTransactionTest)
