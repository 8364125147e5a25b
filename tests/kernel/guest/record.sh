# Records streams that the guest sends to itself, exports each of them, compares it with what was
# sent, and verifies the archive.
#
#   record.sh DEVICE FILESYSTEM 'SENDER OPTIONS' RECORDER OPTIONS...
#
# Through lo, unless $address says where to record and $in_sender how to run something elsewhere.
# Leaves what the programs say in /report: sent, summary, streams, verify (JSON).
set -eu
set -o pipefail

device=$1
filesystem=$2
sender_options=$3
shift 3
address=${address-127.0.0.1}:9000

mkfs.$filesystem -q $device
mount -t $filesystem $device /mnt
archive=/mnt/archive

mkfifo notes
sluice record --tcp $address --archive $archive --output json "$@" \
  >/report/summary.json 2>notes &
recorder=$!
exec 3<notes
while read -r note <&3; do
  echo "$note"
  case $note in *", recording to "*) break ;; esac
done
cat <&3 &

${in_sender-} stream_source --to $address --list $sender_options >/report/sent.json
wait $recorder

# Which stream is which tells the address that it was sent from.
sluice streams --archive $archive --output json >/report/streams.json
awk -F '"' '
  $2 == "stream"      { numbers = $3 $9; gsub(/[^0-9]+/, " ", numbers); sent[$6] = numbers }
  $2 == "name"        { name = $4 }
  $2 == "peerAddress" { print name, sent[$4] }
' /report/sent.json /report/streams.json >pairs
while read -r name number bytes; do
  sluice export $name --archive $archive --to - |
    stream_source --check - --stream $number --bytes $bytes
  echo $name >>/report/compared
done <pairs

sluice verify --archive $archive --output json >/report/verify.json
umount /mnt
