#!/bin/bash
# Shows that Sluice works, on this machine, in a few minutes: builds it, records several
# GiB of TCP streams at full speed, exports them, and compares what came out with what
# was sent. Leaves no process and no file behind but the build.
#
# SLUICE_QUICKSTART_DIR says where to record; the default is a new directory in /var/tmp.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly gib=$((1 << 30))
readonly streams=4 stream_bytes=$gib file_bytes=$((gib / 2))
readonly capacity=$((6 * gib)) needed=$((10 * gib))

step() { printf '\n== %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }
die() { printf '\nquickstart: %s\n' "$*" >&2; exit 1; }
gibs() { awk -v bytes="$1" 'BEGIN { printf "%.1f GiB", bytes / (1024 * 1024 * 1024) }'; }

parent=${SLUICE_QUICKSTART_DIR:-/var/tmp}
mkdir -p "$parent"
work=$(mktemp -d "$parent/sluice-quickstart-XXXXXX")
recorder=
finish() {
  # Its own process group: the recorder, and the shell that times it.
  if [[ -n $recorder ]]; then
    kill -KILL -- "-$recorder" || true
    wait "$recorder" || true
  fi 2>/dev/null
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

echo "Sluice quickstart: records $(gibs $((streams * stream_bytes + file_bytes))) in $work."
[[ $(stat -f -c %T "$work") != tmpfs ]] ||
  die "$parent is memory, not a disk: set SLUICE_QUICKSTART_DIR to a directory on one"
free=$(df --output=avail -B1 "$work" | tail -n 1)
[[ $free -ge $needed ]] ||
  die "$(gibs $needed) of free disk are needed in $parent, and there are $(gibs "$free"):" \
    "set SLUICE_QUICKSTART_DIR to a directory on another disk"

step 'Installing what is missing, building (minutes, the first time)'
deploy/install_dependencies.sh
. deploy/bazel_env.sh
"${bazel[@]}" build --config=release --ui_event_filters=-info \
  //control:sluice //tests/bench:stream_source
bin=$("${bazel[@]}" info --config=release --ui_event_filters=-info bazel-bin)
"${bazel[@]}" shutdown  # Its server would stay for hours.
sluice=$bin/control/sluice
source=$bin/tests/bench/stream_source

step "Recording: $streams streams of $(gibs $stream_bytes) at once, and a file sent by nc"
# A real file: this machine's own, as tar finds them.
tar -cf - -C / usr 2>/dev/null | head -c "$file_bytes" >"$work/file" || true

set -m  # The recorder gets a process group, for finish().
coproc RECORDER {
  TIMEFORMAT='cpu %U %S'
  time "$sluice" record --tcp 127.0.0.1:0 --archive "$work/archive" --capacity "$capacity" \
    --exit-after-streams $((streams + 1)) --output json >"$work/summary.json"
} 2>&1
recorder=$RECORDER_PID
set +m
exec {log}<&"${RECORDER[0]}"  # bash closes its own as soon as the recorder ends.

port=
while read -r line <&"$log"; do
  if [[ $line =~ ^listening\ on\ 127.0.0.1:([0-9]+) ]]; then port=${BASH_REMATCH[1]}; break; fi
  say "$line"
done
[[ -n $port ]] || die 'the recorder did not start'

nc -N 127.0.0.1 "$port" <"$work/file" &
nc=$!
"$source" --to "127.0.0.1:$port" --streams "$streams" --bytes $((streams * stream_bytes)) \
  --list >"$work/sent.json" || die 'the sender failed'
wait "$nc" || die 'nc failed'
cpu=
while read -r line <&"$log"; do
  if [[ $line == cpu\ * ]]; then cpu=${line#cpu }; else say "$line"; fi
done
recorder=
[[ -n $cpu && -s $work/summary.json ]] || die 'the recorder failed'

step 'Exporting every stream, and comparing SHA-256 with what was sent'
"$sluice" streams --archive "$work/archive" --output json >"$work/streams.json"
# Lines of: recorded name, what was sent ("file", or the number of a stream), its bytes.
deploy/quickstart_json.py match "$work/sent.json" "$work/streams.json" >"$work/matched"
[[ $(wc -l <"$work/matched") -eq $((streams + 1)) ]] || die 'streams are missing'
hash_of_sent() {
  if [[ $1 == file ]]; then cat "$work/file"; else "$source" --cat "$1" --bytes "$2"; fi | sha256sum
}
while read -r name sent bytes; do
  hash_of_sent "$sent" "$bytes" >"$work/sent.sha256" &
  hashing=$!
  exported=$("$sluice" export "$name" --archive "$work/archive" --to - | sha256sum)
  wait "$hashing"
  [[ $exported == "$(cat "$work/sent.sha256")" ]] || die "$name is not what was sent"
  if [[ $sent == file ]]; then from='nc'; else from="stream_source, stream $sent"; fi
  say "same  ${exported:0:16}...  $(gibs "$bytes")  $name (from $from)"
done <"$work/matched"

step 'Verifying the archive'
"$sluice" verify --archive "$work/archive" | sed 's/^/   /'

step 'The archive'
"$sluice" archive info --archive "$work/archive" | sed 's/^/   /'

step 'Figures'
read -ra cpu_seconds <<<"$cpu"
deploy/quickstart_json.py figures "$work/summary.json" "${cpu_seconds[@]}" | sed 's/^/   /'
echo
echo 'All that was sent came out again, byte for byte.'
