#!/bin/bash
# Fuzzes each target for so many seconds (default 60), one after the other: tests/fuzz/fuzz.sh 600
# New inputs go into a directory of their own, which is printed; what crashes lies there as crash-*.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}

. deploy/bazel_env.sh
mapfile -t names < <(sed -n 's/^    name = "\(.*_fuzz_test\)",$/\1/p' tests/fuzz/BUILD.bazel)
targets=("${names[@]/#///tests/fuzz:}")
"${bazel[@]}" build --config=fuzz --ui_event_filters=-info "${targets[@]/%/_fuzzer}"
bin=$("${bazel[@]}" info --config=fuzz --ui_event_filters=-info bazel-bin)
work=$(mktemp -d)
failed=0
for name in "${names[@]}"; do
  corpus=${name%_fuzz_test}
  corpus=${corpus%_header}
  corpus=tests/fuzz/corpus/${corpus#archive_}
  [[ $name == archive_meta_fuzz_test ]] && corpus=tests/fuzz/corpus/archive
  mkdir -p "$work/$name"
  echo "$name: $seconds s, new inputs in $work/$name"
  "$bin/tests/fuzz/${name}_fuzzer" -max_total_time="$seconds" -timeout=60 -max_len=8192 \
    -artifact_prefix="$work/$name/" "$work/$name" "$corpus" >"$work/$name.log" 2>&1 || {
    failed=1
    echo "$name: FAILED, see $work/$name.log" >&2
  }
  tail -n 1 "$work/$name.log"
done
exit $failed
