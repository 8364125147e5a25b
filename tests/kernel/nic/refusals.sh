# What the recorder says where it does not get the queue. Leaves it in /report, with the exit status
# in the last line: split_off, split_off_auto, no_such_queue, lo, taken.
set -u

nic_setup 9000 3

# try NAME RECEIVER INTERFACE QUEUE
try() {
  sluice record --tcp 127.0.0.1:9000 --archive /tmp/$1 --capacity 64MiB --duration 100ms \
    --receiver $2 --interface $3 --queue $4 >/report/$1 2>&1
  echo "status $?" >>/report/$1
  cat /report/$1
}

ethtool --set-ring sluicenic0 tcp-data-split off
try split_off zero-copy sluicenic0 3
try split_off_auto auto sluicenic0 3
ethtool --set-ring sluicenic0 tcp-data-split on
try no_such_queue zero-copy sluicenic0 4
try lo zero-copy lo 0

mkfifo notes
sluice record --tcp 127.0.0.1:9001 --archive /tmp/first --capacity 64MiB \
  --receiver zero-copy --interface sluicenic0 --queue 3 2>notes &
first=$!
exec 3<notes
while read -r note <&3; do
  case $note in *", recording to "*) break ;; esac
done
try taken zero-copy sluicenic0 3
kill -TERM $first
wait $first
