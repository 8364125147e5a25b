# Asks the doctor about this kernel and a disk.
#
#   doctor.sh DEVICE
#
# Leaves its answer in /report: doctor (JSON).
set -eu

mkfs.ext4 -q $1
mount $1 /mnt
sluice doctor --archive /mnt
sluice doctor --archive /mnt --output json >/report/doctor.json
