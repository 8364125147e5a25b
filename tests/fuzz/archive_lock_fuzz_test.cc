// The LOCK file's text.

#include <cstddef>
#include <cstdint>
#include <string>

#include "ingest/check.h"
#include "writer/archive/archive_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<sluice::ArchiveHolder> holder = sluice::ParseHolder(text);
  if (!holder.ok()) return 0;
  SLUICE_CHECK(holder->pid > 0);
  // What was read can be written, and is then the same but for stray line ends.
  const std::string written = sluice::EncodeHolder(*holder);
  const absl::StatusOr<sluice::ArchiveHolder> again = sluice::ParseHolder(written);
  SLUICE_CHECK(again.ok() && again->pid == holder->pid);
  SLUICE_CHECK(sluice::EncodeHolder(*again) == written);
  return 0;
}
