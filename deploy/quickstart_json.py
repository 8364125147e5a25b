#!/usr/bin/env python3
"""Reads for quickstart.sh what the programs say of themselves.

    quickstart_json.py match SENT.json STREAMS.json    which stream is which
    quickstart_json.py figures SUMMARY.json CPU_SECONDS...
"""

import json
import sys


def load(path):
    with open(path) as file:
        return json.load(file)


def match(sent_path, streams_path):
    """Prints name, number of the stream sent (or "file", if it was not ours) and bytes."""
    numbers = {sent["local_address"]: sent["stream"] for sent in load(sent_path)["sent"]}
    for stream in load(streams_path):
        print(stream["name"], numbers.get(stream["peerAddress"], "file"), stream["durableBytes"])


def figures(summary_path, *cpu_seconds):
    summary = load(summary_path)
    received, dropped, disk = (
        int(summary[name]) for name in ("bytesReceived", "bytesDropped", "bytesDisk"))
    seconds = float(summary["activeSeconds"])
    cpu = sum(float(part) for part in cpu_seconds)
    print(f"{received / seconds / 1e9:.2f} GB/s from the first byte until all was durable "
          f"({seconds:.1f} s)")
    print(f"{cpu / (received / 1e9):.2f} CPU seconds a GB (recorder, user and system)")
    print(f"{disk / received:.4f} bytes on disk for each received, {dropped} bytes dropped")


if __name__ == "__main__":
    {"match": match, "figures": figures}[sys.argv[1]](*sys.argv[2:])
