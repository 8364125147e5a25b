#!/bin/bash
# Records at full speed into an archive that goes round and round, while holds come and go: does a
# lane ever wait for the room that retention makes?
# Builds what it needs; arguments go to retention.py (see README.md, or --help).
set -euo pipefail
cd "$(dirname "$0")/../.."

. deploy/bazel_env.sh
targets=(//control:sluice //tests/bench:stream_source)
"${bazel[@]}" build --config=release --config=ci --ui_event_filters=-info "${targets[@]}"
bin=$("${bazel[@]}" info --config=release --ui_event_filters=-info bazel-bin)
exec python3 -B tests/bench/retention.py --bin "$bin" "$@"
