# As guest/record.sh, but what it records comes through the NIC; see setup.
#
#   record.sh STEERING KNOBS TSO RECORD.SH'S ARGUMENTS...
#
# STEERING   queue: the streams go to queue 3; away: they go to the others; spread: to all of them;
#            leave: they go to queue 3, and from the middle on to the others
# KNOBS      as in "buffer_placement=1 drop_every=100"
# TSO        of the sender: on, and the NIC hands up what is larger than a packet, or off
#
# Leaves the NIC's counters in /report, too: nic.
set -eu
steering=$1
knobs=$2
tso=$3
shift 3

case $steering in
  away) nic_setup 9001 3 ;;
  *) nic_setup 9000 3 ;;
esac
if [ $steering = spread ]; then
  ethtool --features sluicenic0 ntuple off
  ethtool --set-rxfh-indir sluicenic0 equal 4
fi

leave_the_queue() {
  until ethtool --statistics sluicenic0 | grep -q 'rx3_split: [0-9]\{3\}'; do
    usleep 10000
  done
  ethtool --config-ntuple sluicenic0 delete 0  # The rule for IPv4.
}
if [ $steering = leave ]; then leave_the_queue & fi

for knob in $knobs; do
  echo ${knob#*=} >/sys/kernel/debug/sluicenic/0/${knob%%=*}
done
export address=192.0.2.1 in_sender="nsenter --net=/run/netns/sender"
$in_sender ethtool --features sluicenic1 tso $tso

sh /lab/record.sh "$@"

ethtool --statistics sluicenic0 >/report/nic
rmmod sluicenic
