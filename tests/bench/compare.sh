#!/bin/bash
# Compares Sluice with a bare loop, with common tools and with the disk: one table, one run.
# Builds what it needs; arguments go to compare.py (see README.md, or --help).
set -euo pipefail
cd "$(dirname "$0")/../.."

. deploy/bazel_env.sh
targets=(//control:sluice //tests/bench:bare_loop //tests/bench:stream_source)
"${bazel[@]}" build --config=release --config=ci --ui_event_filters=-info "${targets[@]}"
bin=$("${bazel[@]}" info --config=release --ui_event_filters=-info bazel-bin)
exec python3 -B tests/bench/compare.py --bin "$bin" "$@"
