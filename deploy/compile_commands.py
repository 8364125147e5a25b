#!/usr/bin/env python3
"""Writes compile_commands.json for clang-tidy, clangd and the like.

Asks Bazel for its compile actions, so it needs no network and knows exactly the
flags of a build. Arguments are passed on to bazel aquery, --config=clang say.
"""

import json
import os
import pathlib
import subprocess
import sys

# Flags of GCC that clang's tools reject.
GCC_ONLY = {"-fno-canonical-system-headers", "-Wno-free-nonheap-object"}


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    bazel = os.environ.get("BAZEL", "bazel").split()
    aquery = subprocess.run(
        [*bazel, "aquery", "--output=jsonproto", "--noshow_progress",
         'mnemonic("CppCompile", //...)', *sys.argv[1:]],
        cwd=root, check=True, stdout=subprocess.PIPE)

    commands = {}
    for action in json.loads(aquery.stdout)["actions"]:
        arguments = [a for a in action["arguments"] if a not in GCC_ONLY]
        source = arguments[arguments.index("-c") + 1]
        if source.startswith(("bazel-out/", "external/")):
            continue  # Generated, or not ours.
        commands[source] = {
            "directory": os.fspath(root),
            "file": source,
            "arguments": arguments,
        }
    output = root / "compile_commands.json"
    output.write_text(json.dumps([commands[s] for s in sorted(commands)], indent=2) + "\n")
    print(f"{output}: {len(commands)} sources")


if __name__ == "__main__":
    main()
