// A small archive in memory, written anew for each of a fuzzer's inputs, and used in every way.
#ifndef TESTS_FUZZ_FUZZ_ARCHIVE_H_
#define TESTS_FUZZ_FUZZ_ARCHIVE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

class FuzzArchive {
 public:
  FuzzArchive();
  FuzzArchive(const FuzzArchive&) = delete;
  FuzzArchive& operator=(const FuzzArchive&) = delete;
  ~FuzzArchive();

  const std::string& directory() const { return directory_; }  // of the archive

  // An archive of these segments, of which nobody has made a catalog yet.
  void Write(const std::vector<std::vector<std::byte>>& segments);
  // Whatever it was that stood there.
  void WriteCatalog(absl::Span<const std::byte> bytes);
  // The archive is gone.
  void Clear();

  // Reads all that there is, then opens it for writing, which recovers it, reads all again, makes
  // room for a new segment, and opens it once more. Errors are statuses; the archive that was
  // recovered can be opened and is found as it was left.
  void Use();

 private:
  // Of the catalog as it is, and of every stream to its end.
  void ReadAll();
  void Start();

  std::string parent_;
  std::string directory_;
};

// The catalog of GoodSegments(), as a recorder that died left it: the last one is open.
const std::vector<std::byte>& GoodCatalog();

}  // namespace sluice

#endif  // TESTS_FUZZ_FUZZ_ARCHIVE_H_
