#!/usr/bin/env python3
"""test_report.py sums up what ran, whatever failed and whenever."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

REPORT = pathlib.Path(__file__).with_name("test_report.py")

XML = """<testsuites><testsuite name="s">
<testcase name="passes" classname="C" status="run"/>
%s
</testsuite></testsuites>"""
FAILS = '<testcase name="fails" classname="C" status="run"><failure message="no"/></testcase>'
SKIPS = ('<testcase name="skips" classname="C" status="run">'
         '<skipped message="a_test.cc:7&#10;needs Linux 9"/></testcase>')


class TestReportTest(unittest.TestCase):

    def setUp(self):
        self._directory = tempfile.TemporaryDirectory()
        self.addCleanup(self._directory.cleanup)

    def run_of(self, name, case="", status="PASSED", extra=()):
        """The file of one `bazel test` with one test, //a:NAME."""
        base = pathlib.Path(self._directory.name, name)
        xml = base.with_suffix(".xml")
        xml.write_text(XML % case)
        label = f"//a:{name}"
        events = [
            {"id": {"testResult": {"label": label}},
             "testResult": {"status": status,
                            "testActionOutput": [{"name": "test.xml", "uri": xml.as_uri()}]}},
            {"id": {"testSummary": {"label": label}}},
            *extra,
        ]
        base.with_suffix(".json").write_text("\n".join(map(json.dumps, events)))
        return str(base.with_suffix(".json"))

    def report(self, *arguments):
        """Its exit status and its lines."""
        done = subprocess.run([sys.executable, "-B", REPORT, *arguments], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout.splitlines()

    def test_all_is_well(self):
        self.assertEqual(self.report(self.run_of("one"), self.run_of("two")),
                         (0, ["2 passed, 0 failed, 0 skipped"]))

    def test_nothing_ran(self):
        self.assertEqual(self.report(), (1, ["0 passed, 0 failed, 0 skipped"]))

    def test_a_case_fails(self):
        status, lines = self.report(self.run_of("one", FAILS, "FAILED"))
        self.assertEqual(status, 1)
        self.assertEqual(lines, ["FAILED //a:one C.fails", "1 passed, 1 failed, 0 skipped"])

    def test_a_program_dies_after_its_cases(self):
        status, lines = self.report(self.run_of("one", status="TIMEOUT"))
        self.assertEqual(status, 1)
        self.assertEqual(lines, ["FAILED //a:one: TIMEOUT", "1 passed, 1 failed, 0 skipped"])

    def test_what_does_not_build_and_what_has_no_result(self):
        extra = [{"id": {"targetCompleted": {"label": "//b"}}, "aborted": {}},
                 {"id": {"testSummary": {"label": "//c"}}}]
        status, lines = self.report(self.run_of("one", extra=extra))
        self.assertEqual(status, 1)
        self.assertEqual(lines, ["FAILED //b does not build", "FAILED //c has no result",
                                 "1 passed, 2 failed, 0 skipped"])

    def test_skips(self):
        run = self.run_of("one", SKIPS)
        self.assertEqual(self.report(run),
                         (0, ["SKIPPED 1: needs Linux 9", "1 passed, 0 failed, 1 skipped"]))
        self.assertEqual(self.report(run, "--allow-skip", "needs Linux")[0], 0)
        status, lines = self.report(run, "--allow-skip", "no network")
        self.assertEqual(status, 1)
        self.assertEqual(lines[0], "FAILED //a:one C.skips was skipped: needs Linux 9")

    def test_a_failure_between_two_runs(self):
        status, lines = self.report(self.run_of("one"), "--failed", "the format",
                                    self.run_of("two"), "--allow-skip", "x")
        self.assertEqual(status, 1)
        self.assertEqual(lines, ["FAILED the format", "2 passed, 1 failed, 0 skipped"])


if __name__ == "__main__":
    unittest.main()
