#!/usr/bin/env python3
"""Sums up the test cases of `bazel test` runs, cached ones included.

    bazel test --build_event_json_file=run.json //...; deploy/test_report.py run.json

Bazel itself counts targets, and leaves cached ones out. Prints what failed and what
was skipped, and why; the last line is the sum. Ends with status 1 unless some case ran
and none failed.
"""

import argparse
import collections
import json
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


class Report:

    def __init__(self, allowed_skips):
        self.passed = 0
        self.failed = []
        self.skipped = collections.Counter()  # By reason.
        self._allowed_skips = allowed_skips

    def add_run(self, events):
        """Adds what a build event file tells of one `bazel test`."""
        results, tests = set(), set()
        for event in events:
            if "testResult" in event["id"] and "testResult" in event:
                label = event["id"]["testResult"]["label"]
                results.add(label)
                self._add_result(label, event["testResult"])
            elif "testSummary" in event["id"]:
                tests.add(event["id"]["testSummary"]["label"])
            elif "targetCompleted" in event["id"] and not event.get("completed", {}).get("success"):
                self.failed.append(f"{event['id']['targetCompleted']['label']} does not build")
        for label in sorted(tests - results):
            self.failed.append(f"{label} has no result")

    def _add_result(self, label, result):
        files = [urllib.parse.urlparse(file["uri"]).path
                 for file in result.get("testActionOutput", []) if file["name"] == "test.xml"]
        failed_before = len(self.failed)
        for file in files:
            for case in ElementTree.parse(file).iter("testcase"):
                self._add_case(label, case)
        if result["status"] != "PASSED" and len(self.failed) == failed_before:
            self.failed.append(f"{label}: {result['status']}")

    def _add_case(self, label, case):
        name = f"{label} {case.get('classname', '')}.{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            self.failed.append(name)
        elif skip is not None or case.get("status") == "notrun":
            self._add_skip(name, "disabled" if skip is None else skip.get("message", "no reason"))
        else:
            self.passed += 1

    def _add_skip(self, name, reason):
        reason = re.sub(r"^\S+:\d+\n", "", reason).strip()  # Where GTEST_SKIP stands.
        if self._allowed_skips and not any(re.search(a, reason) for a in self._allowed_skips):
            self.failed.append(f"{name} was skipped: {reason}")
        else:
            self.skipped[reason] += 1

    def print(self):
        for reason, count in self.skipped.most_common():
            print(f"SKIPPED {count}: {reason}")
        for name in self.failed:
            print(f"FAILED {name}")
        print(f"{self.passed} passed, {len(self.failed)} failed, "
              f"{self.skipped.total()} skipped")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", metavar="BUILD_EVENTS.json")
    parser.add_argument("--allow-skip", action="append", default=[], metavar="REGEX",
                        help="a reason to skip a test; with any given, others are failures")
    parser.add_argument("--failed", action="append", default=[], metavar="WHAT",
                        help="a failure of something that is not a test")
    # What ran and what failed come as they happened, in any order.
    arguments = parser.parse_intermixed_args()
    report = Report(arguments.allow_skip)
    report.failed += arguments.failed
    for run in arguments.runs:
        with open(run) as events:
            report.add_run(json.loads(line) for line in events)
    report.print()
    return 0 if report.passed and not report.failed else 1


if __name__ == "__main__":
    sys.exit(main())
