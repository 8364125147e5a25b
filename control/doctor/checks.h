// What `sluice doctor` looks at, one thing each. Pure: facts in, a finding out.
#ifndef CONTROL_DOCTOR_CHECKS_H_
#define CONTROL_DOCTOR_CHECKS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "control/doctor/facts.h"

namespace sluice {

enum class CheckState {
  kOk,
  kWarning,  // it works, but less well
  kMissing,  // recording, or the zero-copy receive that was asked about, is impossible so
  kNotChecked,
};

struct Check {
  std::string name;
  CheckState state = CheckState::kOk;
  std::string found;
  std::string remedy;  // what to do; of warnings and what is missing
};

// -- The kernel, and what this process may do.
Check CheckKernel(const DoctorFacts& facts);
Check CheckIoUring(const DoctorFacts& facts);
Check CheckRingFlags(const DoctorFacts& facts);
Check CheckReceiveBuffers(const DoctorFacts& facts);
Check CheckOperations(const DoctorFacts& facts);
Check CheckZeroCopyFeatures(const DoctorFacts& facts);
Check CheckLockedMemory(const DoctorFacts& facts);
Check CheckHugePages(const DoctorFacts& facts);
Check CheckNetAdmin(const DoctorFacts& facts);

// -- The network interface.
Check CheckInterface(const DoctorFacts& facts);
Check CheckHeaderSplit(const DoctorFacts& facts);
Check CheckXdp(const DoctorFacts& facts);
Check CheckQueue(const DoctorFacts& facts);
Check CheckQueueIsFree(const DoctorFacts& facts);
Check CheckDeviceTrial(const DoctorFacts& facts);
Check CheckDeviceLessTrial(const DoctorFacts& facts);

// -- The disk.
Check CheckDisk(const DoctorFacts& facts);
Check CheckAlignment(const DoctorFacts& facts);
Check CheckWriteLimits(const DoctorFacts& facts);
// One for each of the archive's further disks.
std::vector<Check> CheckFurtherDisks(const DoctorFacts& facts);

// All of these, in this order.
std::vector<Check> CheckAll(const DoctorFacts& facts);

// What ranges of memory must be aligned to when they are written to this disk.
uint64_t WriteAlign(const DiskGeometry& disk);

}  // namespace sluice

#endif  // CONTROL_DOCTOR_CHECKS_H_
