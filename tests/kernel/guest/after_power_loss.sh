# Looks at disks as a loss of power has left them: the first look at the archive recovers it, then
# what a client had been told is compared, the archive verified, every stream exported.
#
#   after_power_loss.sh FILESYSTEM SLOTS MARK...
#
# Disk N is the one of the Nth MARK, the last one that the log had. Carried: /lab/published, and
# /lab/sent, a line "ADDRESS SEED STREAM BYTES" for each stream that was sent. Leaves in /report,
# with the disk's number at the end: seconds, streams, compare, verify (JSON), faults.
set -eu

filesystem=$1
slots=$2
shift 2

now() { cut -d ' ' -f 1 /proc/uptime; }

# Its lines are faults.
look() {
  mount -t $filesystem /dev/disk$number /mnt || { echo "does not mount"; return; }
  archive=/mnt/archive
  begin=$(now)
  sluice streams --archive $archive --output json >/report/streams.$number 2>&1 ||
    echo "streams: $(cat /report/streams.$number)"
  echo "$begin $(now)" >/report/seconds.$number
  witness compare $archive /lab/published $mark $slots >/report/compare.$number ||
    echo "compare: $(cat /report/compare.$number)"
  sluice verify --archive $archive >/report/verify.$number 2>&1 ||
    echo "verify: $(cat /report/verify.$number)"
  awk -F '"' '
    NR == FNR           { split($0, word, " "); sent[word[1]] = $0; next }
    $2 == "name"        { name = $4 }
    $2 == "peerAddress" { peer = $4 }
    $2 == "beginOffset" { from = $4 }
    $2 == "durableBytes" { to[name] = $4; begin[name] = from; address[name] = peer }
    END { for (name in to) print name, begin[name] + 0, to[name] + 0, sent[address[name]] }
  ' /lab/sent /report/streams.$number >exports
  while read -r name begin end peer seed stream sent; do
    [ "$end" -le "${sent:-0}" ] || echo "$name has $end bytes, of ${sent:-0} that were sent"
    sluice export $name --archive $archive --to - 2>complaint |
      stream_source --check - --seed $seed --stream $stream --begin $begin \
        --bytes $((end - begin)) 2>>complaint || echo "export $name: $(cat complaint)"
  done <exports
  umount /mnt
}

number=0
for mark in "$@"; do
  look >/report/faults.$number
  number=$((number + 1))
done
