# `sluice nic` on the NIC: there and back, killed between any two steps, and refused by the kernel in
# turn. Each time the card is compared with what it was. Leaves in /report:
#
#   before after reverted    what ethtool says of the card
#   plan apply drift         what sluice says
#   killed refused           a line for each attempt: "WHEN CODE same|differs", CODE is sluice's
set -u
nic=sluicenic0
want="--zero-copy-queues 3 --ring-size 32"
ip link set $nic up
ip link set sluicenic1 up
# What is found: traffic on three queues, and somebody's rule.
ethtool --set-rxfh-indir $nic weight 1 2 0 1
ethtool --features $nic ntuple on
ethtool --config-ntuple $nic flow-type tcp4 dst-port 22 action 1

card() {
  for what in --show-ring --show-rxfh --show-ntuple --show-channels; do ethtool $what $nic; done
  ethtool --show-features $nic | grep ntuple
}
apply() {
  "$@" sluice nic apply $nic $want --rule "tcp dst-port 9000" --rule "tcp dst-port 9001 to 2"
}
# What the next start of anything that changes the card does first.
undo() {
  sluice nic revert $nic >/dev/null 2>&1
}
same() {
  card >now
  if cmp -s /report/before now; then echo same; else echo differs; fi
}

card >/report/before
sluice nic plan $nic $want --rule "tcp dst-port 9000" --rule "tcp dst-port 9001 to 2" >/report/plan
apply >/report/apply 2>&1
echo "status $?" >>/report/apply
cat /report/apply
card >/report/after
sluice nic show $nic
ethtool --config-ntuple $nic delete "$(ethtool --show-ntuple $nic | sed -n 's/^Filter: //p' | tail -n 1)"
sluice nic drift $nic >/report/drift 2>&1
echo "status $?" >>/report/drift
sluice nic revert $nic
card >/report/reverted

# Each step is said before it is done, and each state of the journal is a file that is renamed: so
# before each of these calls something has just been finished.
killed() {  # killed WHAT CODE
  undo
  echo "$1 $2 $(same)" >>/report/killed
}
for call in write rename; do
  number=1
  while true; do
    apply strace -qq -o calls -e inject=$call:signal=KILL:when=$number >said 2>&1
    code=$?
    killed apply-$call-$number $code
    if [ $code -ne 137 ]; then break; fi
    number=$((number + 1))
  done
done
number=1
while true; do
  apply >said 2>&1
  strace -qq -o calls -e inject=write:signal=KILL:when=$number sluice nic revert $nic >said 2>&1
  code=$?
  killed revert-write-$number $code
  if [ $code -ne 137 ]; then break; fi
  number=$((number + 1))
done

# Of the calls about rules every fourth in turn, to look and to change: it takes its time, emulated.
number=1
while true; do
  apply strace -qq -o calls -e inject=ioctl:error=EIO:when=$number >said 2>&1
  code=$?
  result=$(same)  # Rolled back already.
  if [ $code -ne 1 ]; then break; fi
  echo "$number $code $result" >>/report/refused
  number=$((number + 4))
done
undo
cat /report/killed /report/refused
