#!/bin/bash
# What a fragment costs in user space, from its completion into an extent and home again: by
# copying, without a copy, and beside a memcpy. Instructions as callgrind counts them, which no
# noise disturbs, then nanoseconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v valgrind >/dev/null || {
  echo "$0: valgrind counts the instructions: apt-get install valgrind" >&2
  exit 1
}

. deploy/bazel_env.sh
"${bazel[@]}" build --config=release --config=ci --ui_event_filters=-info //tests/bench:fragment_path
program=$("${bazel[@]}" info --config=release --ui_event_filters=-info bazel-bin)/tests/bench/fragment_path
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fragments=8192
printf '%-10s %10s %6s %24s %18s\n' receiver fragment CRC instructions/fragment instructions/byte
for fragment in 4096 1024; do
  for crc in '' --crc; do
    for receiver in copy zero-copy; do
      counted=$(valgrind --tool=callgrind --callgrind-out-file="$work/out" \
        --toggle-collect='*HandleCompletions*' "$program" --only $receiver --fragment $fragment \
        --bytes $((fragment * fragments)) $crc 2>&1 | sed -n 's/.*Collected : //p')
      awk -v receiver=$receiver -v fragment=$fragment -v crc="${crc:+on}" -v counted="$counted" \
        -v fragments=$fragments 'BEGIN {
          printf "%-10s %10d %6s %24.0f %18.4f\n", receiver, fragment, crc ? crc : "off",
                 counted / fragments, counted / fragments / fragment }'
    done
  done
done
for options in '' --crc '--fragment 1024'; do
  echo
  "$program" $options
done
