// The policy as text: DIR/RETENTION, and its copy in the catalog. See writer/FORMAT.md.
#ifndef WRITER_RETENTION_POLICY_TEXT_H_
#define WRITER_RETENTION_POLICY_TEXT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "writer/retention/policy.h"

namespace sluice {

// So that what people ask for can be kept, and read at each start.
inline constexpr size_t kHoldsMax = 1000;
inline constexpr size_t kClassesMax = 100;
inline constexpr size_t kPolicyTextMax = 4 << 20;

std::string EncodePolicy(const RetentionPolicy& policy);

// DATA_LOSS: it is damaged; the message says where. FAILED_PRECONDITION: of a newer version.
absl::StatusOr<RetentionPolicy> ParsePolicy(absl::string_view text);

}  // namespace sluice

#endif  // WRITER_RETENTION_POLICY_TEXT_H_
