// Segments that are carried from elsewhere: what is found to hold is taken in, and then holds
// there.

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "ingest/check.h"
#include "tests/fuzz/fuzz_archive.h"
#include "tests/fuzz/spoiled_segment.h"
#include "writer/archive/carried_segment.h"
#include "writer/archive/verify.h"

namespace sluice {
namespace {

void Import(FuzzArchive& archive, FuzzInput& input) {
  archive.Clear();
  std::vector<CarriedSegment> carried;
  const uint8_t which = input.Take<uint8_t>();
  for (size_t i = 0; i < 2; ++i) {
    if ((which >> i & 1) != 0) continue;
    std::vector<std::byte> segment = GoodSegments()[i];
    Spoil(input, absl::MakeSpan(segment));
    const std::string path = archive.directory() + "-" + std::to_string(i);
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(segment.data()),
               static_cast<std::streamsize>(segment.size()));
    file.close();
    const absl::StatusOr<CarriedSegment> verified = VerifyCarriedSegment(path);
    if (verified.ok()) carried.push_back(*verified);
  }
  const absl::StatusOr<RecoveryReport> imported = ImportSegments(carried, archive.directory());
  if (!imported.ok()) return;
  SLUICE_CHECK(imported->segments_indexed == carried.size());
  SLUICE_CHECK(!ImportSegments(carried, archive.directory()).ok());  // they are there already
  archive.Use();
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static sluice::FuzzArchive& archive = *new sluice::FuzzArchive;
  sluice::FuzzInput input(data, size);
  sluice::Import(archive, input);
  archive.Clear();
  return 0;
}
