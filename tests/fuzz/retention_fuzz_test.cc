// The RETENTION file's text.

#include <cstddef>
#include <cstdint>
#include <string>

#include "ingest/check.h"
#include "writer/retention/policy_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<sluice::RetentionPolicy> policy = sluice::ParsePolicy(text);
  if (!policy.ok()) return 0;
  // What was read can be written, and is then the same.
  const absl::StatusOr<sluice::RetentionPolicy> again =
      sluice::ParsePolicy(sluice::EncodePolicy(*policy));
  SLUICE_CHECK(again.ok() && *again == *policy);
  return 0;
}
