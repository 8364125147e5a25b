// Looks at this machine.
#ifndef CONTROL_DOCTOR_READ_FACTS_H_
#define CONTROL_DOCTOR_READ_FACTS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "control/doctor/facts.h"

namespace sluice {

// About what; nothing: about none.
struct DoctorQuestion {
  std::optional<std::string> interface = {};
  std::optional<uint32_t> queue = {};         // of the interface
  std::optional<std::string> directory = {};  // where an archive is or will be
};

// INVALID_ARGUMENT: there is no such interface or directory. Changes nothing, but for a queue that
// can be lent: that is borrowed for a moment (TryInterfaceQueue), and returned before this returns.
absl::StatusOr<DoctorFacts> ReadFacts(const DoctorQuestion& question);

// What direct writes in `directory` must look like, asked of a file without a name that is made and
// written there.
absl::StatusOr<DiskGeometry> ProbeDirectory(const std::string& directory);

}  // namespace sluice

#endif  // CONTROL_DOCTOR_READ_FACTS_H_
