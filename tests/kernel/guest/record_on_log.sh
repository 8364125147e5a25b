# Records on a disk each of whose writes is logged: several recordings, one after the other, every
# second one killed. Meanwhile a witness marks in the log what a client was told to be durable.
#
#   record_on_log.sh FILESYSTEM 'MKFS OPTIONS' CAPACITY SEGMENT BYTES SECONDS... -- RECORDER OPTIONS...
#
# A recording for each of SECONDS: it is killed after so long; 0: it ends in order when BYTES were
# sent. Leaves in /report: published (see witness), sent.N (JSON) for each recording.
set -eu

filesystem=$1
mkfs_options=$2
capacity=$3
segment=$4
bytes=$5
shift 5
seconds=
while [ "$1" != -- ]; do
  seconds="$seconds $1"
  shift
done
shift

export DM_DISABLE_UDEV=1  # There is none: dmsetup makes the device file itself.
dmsetup create log \
  --table "0 $(blockdev --getsz /dev/disk0) log-writes /dev/disk0 /dev/disk1"
mkfs.$filesystem -q $mkfs_options /dev/mapper/log
mount -t $filesystem /dev/mapper/log /mnt
archive=/mnt/archive
sluice archive create --archive $archive --capacity $capacity --segment-size $segment >/dev/null
dmsetup message log 0 mark created
witness watch $archive /report/published log &
witness=$!

number=0
for end in $seconds; do
  number=$((number + 1))
  ip addr add 10.9.0.$number/32 dev lo
  rm -f notes
  mkfifo notes
  sluice record --tcp 0.0.0.0:9000 --archive $archive --exit-after-streams 4 "$@" 2>notes &
  recorder=$!
  exec 3<notes
  while read -r note <&3; do
    case $note in *", recording to "*) break ;; esac
  done
  cat <&3 &
  notes=$!
  stream_source --to 10.9.0.$number:9000 --streams 4 --bytes $bytes --seed $number --list \
    >/report/sent.$number 2>/dev/null &
  sender=$!
  if [ $end != 0 ]; then
    sleep $end
    kill -9 $recorder || true
  fi
  wait $sender || true
  wait $recorder || true
  exec 3<&-
  wait $notes || true
done

kill $witness
wait $witness
umount /mnt
dmsetup remove log
