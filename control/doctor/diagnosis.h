// What follows from all checks together.
#ifndef CONTROL_DOCTOR_DIAGNOSIS_H_
#define CONTROL_DOCTOR_DIAGNOSIS_H_

#include <optional>
#include <string>
#include <vector>

#include "control/doctor/checks.h"
#include "control/doctor/facts.h"

namespace sluice {

// How payload gets from the network into a recording's memory.
enum class ExpectedReceiver { kNone, kCopy, kZeroCopy };

struct Diagnosis {
  std::vector<Check> checks;
  ExpectedReceiver receiver = ExpectedReceiver::kNone;
  std::string reason;  // why not the better one; empty when there is none
  // Bytes written for each byte received; nothing: the disk is not known.
  std::optional<double> amplification;
  std::string amplification_reason;
};

Diagnosis Diagnose(const DoctorFacts& facts);

// Of the packets of a fast network, received without copies: bytes written for each received. What
// would be written with too much around it is packed instead, which is a copy (ExtentBuilder).
struct Amplification {
  uint64_t packet = 1448;        // an MTU of 1500 less headers and time stamps
  uint64_t enclosing = 0;        // the range around a packet that begins on the alignment
  uint64_t enclosing_max = 0;    // around one that does not
  bool packed = false;           // every packet
  bool packed_at_times = false;  // those that do not begin on the alignment
  double factor() const;
};
Amplification ZeroCopyAmplification(uint64_t align);

}  // namespace sluice

#endif  // CONTROL_DOCTOR_DIAGNOSIS_H_
