#!/usr/bin/env python3
"""Measures Sluice beside a bare loop, common tools and the disk. Run it by compare.sh.

Ends with status 0 whatever the figures: they are a benchmark, not a test. Any other
status says that something did not run, or that bytes were lost.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

from measure import BenchError
from receivers import GIB, MIB, NC, NC_DD, SOCAT, BareLoop, Fio, Sluice
from report import Results, Targets, print_header
from sizes import byte_size
from startup import startup_seconds
from transfer import Bench

STREAMS = 1000

SLUICE = Sluice("sluice")
SLUICE_NO_CRC = Sluice("sluice, no payload CRC", ["--payload-crc=false"])
SLUICE_MANY = Sluice(f"sluice, {STREAMS} streams", streams=STREAMS)
BARE_LOOP = BareLoop()
BARE_LOOP_MANY = BareLoop(STREAMS)
PEERS = [NC, SOCAT, NC_DD]
ROWS = {"sluice": SLUICE, "sluice-no-crc": SLUICE_NO_CRC, "bare-loop": BARE_LOOP,
        "nc": NC, "socat": SOCAT, "nc-dd": NC_DD, "fio": Fio(),
        "sluice-many": SLUICE_MANY, "bare-loop-many": BARE_LOOP_MANY}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="compare.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--bytes", type=byte_size, default=4 * GIB, help="of each repeat (4GiB)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dir", type=pathlib.Path, default="/var/tmp",
                        help="where the disk is that is to be measured (/var/tmp)")
    parser.add_argument("--rows", type=lambda text: text.split(","), default=list(ROWS),
                        help=f"only some of {','.join(ROWS)}")
    parser.add_argument("--blocks", choices=["new", "written"], default="new",
                        help="record to blocks of new files, or to blocks written before, as "
                             "an archive does that has gone round once")
    parser.add_argument("--startup-capacity", type=byte_size, default=16 * GIB,
                        help="the archive of the start-up measurement (16GiB; 0: leave it out)")
    parser.add_argument("--json", type=pathlib.Path, help="also write all samples to this file")
    arguments = parser.parse_args()
    unknown = set(arguments.rows) - set(ROWS)
    if unknown:
        parser.error(f"no such rows: {','.join(unknown)}")
    return arguments


def check_space(directory, arguments):
    needed = max(arguments.bytes * 5 // 4 + GIB, arguments.startup_capacity) + GIB
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise BenchError(f"{directory} has {free / GIB:.1f} GiB free, {needed / GIB:.1f} needed")


def measure(bench, rows, repeats):
    samples = {row.name: [] for row in rows}
    for repeat in range(repeats):
        for row in rows:
            sample = row.run(bench, first=repeat == 0)
            samples[row.name].append(sample)
            print(f"  {repeat + 1}/{repeats} {row.name}: {sample.gb_per_s:.2f} GB/s",
                  file=sys.stderr, flush=True)
    return samples


def print_targets(results):
    targets = Targets()
    if results.has(SLUICE_NO_CRC, BARE_LOOP):
        targets.at_least("GB/s of the bare loop, without CRC",
                         results.rate(SLUICE_NO_CRC) / results.rate(BARE_LOOP), 0.9)
    if results.has(SLUICE, BARE_LOOP):
        targets.at_least("GB/s of the bare loop, with CRC",
                         results.rate(SLUICE) / results.rate(BARE_LOOP), 0.8)
    if results.has(SLUICE, *PEERS):
        peer = results.best(PEERS)
        targets.at_least(f"GB/s of the best peer ({peer.name})",
                         results.rate(SLUICE) / results.rate(peer), 3)
        targets.at_most("CPU seconds a GB of the best peer",
                        results.cpu(SLUICE) / results.cpu(peer), 0.25)
    if results.has(SLUICE, SLUICE_MANY):
        targets.at_least(f"GB/s of {STREAMS} streams over one stream",
                         results.rate(SLUICE_MANY) / results.rate(SLUICE), 0.7)
    for row in (SLUICE, SLUICE_NO_CRC, SLUICE_MANY):
        if results.has(row):
            targets.at_most(f"peak RSS of {row.name}, region and 64 MiB",
                            results.peak_rss(row) / MIB, row.region_bytes / MIB + 64, " MiB")


def run(bench, arguments):
    print_header(bench, arguments.repeats)
    rows = [ROWS[name] for name in arguments.rows]
    samples = measure(bench, rows, arguments.repeats)
    results = Results(rows, samples)
    results.print_table(BARE_LOOP, PEERS)
    print_targets(results)
    if arguments.startup_capacity and SLUICE in rows:
        times = startup_seconds(bench, arguments.startup_capacity, arguments.repeats)
        Targets().at_most(
            f"start after kill -9, {arguments.startup_capacity / GIB:.0f} GiB archive "
            f"({min(times):.3f}..{max(times):.3f})", statistics.median(times), 1, " s")
    if arguments.json:
        arguments.json.write_text(json.dumps(
            {name: [dataclasses.asdict(s) for s in row] for name, row in samples.items()},
            indent=2) + "\n")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # Unwinds, and so cleans up.
    arguments = parse_arguments()
    try:
        check_space(arguments.dir, arguments)
        with tempfile.TemporaryDirectory(prefix="sluice-bench-", dir=arguments.dir) as directory:
            run(Bench(arguments.bin, pathlib.Path(directory), arguments.bytes,
                      arguments.blocks == "written"), arguments)
    except (BenchError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"compare.sh: {error}")


if __name__ == "__main__":
    main()
