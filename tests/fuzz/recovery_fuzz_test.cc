// An archive whose segments are anything: recovered, verified, read, and written to again. With the
// catalog that it had, or with none, which is then made anew.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/fuzz/fuzz_archive.h"
#include "tests/fuzz/spoiled_segment.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static sluice::FuzzArchive& archive = *new sluice::FuzzArchive;
  sluice::FuzzInput input(data, size);
  const bool rebuild = input.Take<uint8_t>() % 2 == 0;
  std::vector<std::vector<std::byte>> segments = sluice::GoodSegments();
  for (std::vector<std::byte>& segment : segments) sluice::Spoil(input, absl::MakeSpan(segment));
  archive.Write(segments);
  if (!rebuild) archive.WriteCatalog(sluice::GoodCatalog());
  archive.Use();
  archive.Clear();
  return 0;
}
