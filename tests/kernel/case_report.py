"""Runs the cases of a test program, and tells Bazel of each what came of it.

Bazel knows only whether a program failed; deploy/test_report.py counts cases, and reads why one
was skipped, in the XML that a program leaves in $XML_OUTPUT_FILE.
"""

import fnmatch
import os
import sys
import time
import unittest
import xml.etree.ElementTree as ElementTree


class CaseReport(unittest.TextTestResult):
    """What unittest prints, and a <testcase> for each case."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.suite = ElementTree.Element("testsuite", name="tests/kernel")

    def startTest(self, test):
        super().startTest(test)
        self._begin = time.monotonic()
        _, _, name = test.id().rpartition(".")
        self._case = ElementTree.SubElement(
            self.suite, "testcase", classname=type(test).__name__, name=name, status="run")

    def stopTest(self, test):
        super().stopTest(test)
        seconds = time.monotonic() - self._begin
        self._case.set("time", f"{seconds:.3f}")
        print(f"{self._case.get('name')}: {seconds:.1f} s", flush=True)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._tell("failure", str(error[1]))

    def addError(self, test, error):
        super().addError(test, error)
        self._tell("error", str(error[1]))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._tell("skipped", reason)

    def _tell(self, outcome, message):
        ElementTree.SubElement(self._case, outcome, message=message)


def main(cases):
    """Runs those of a TestCase class; of them, those that --test_filter=PATTERN names."""
    pattern = os.environ.get("TESTBRIDGE_TEST_ONLY", "*")
    names = fnmatch.filter(unittest.defaultTestLoader.getTestCaseNames(cases), pattern)
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=CaseReport)
    result = runner.run(unittest.TestSuite(cases(name) for name in names))
    if "XML_OUTPUT_FILE" in os.environ:
        suites = ElementTree.Element("testsuites")
        suites.append(result.suite)
        ElementTree.ElementTree(suites).write(os.environ["XML_OUTPUT_FILE"])
    sys.exit(0 if result.wasSuccessful() else 1)
