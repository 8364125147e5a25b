// A file that is there in whole or not at all.
#ifndef CONTROL_CLI_OUTPUT_FILE_H_
#define CONTROL_CLI_OUTPUT_FILE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace sluice {

// Written under a temporary name beside the wanted one. Standard output, and what is no regular
// file (a pipe, /dev/null), is written as it is. Destruction without Commit() leaves nothing
// behind.
class OutputFile {
 public:
  // "-" is standard output. ALREADY_EXISTS unless `replace`.
  static absl::StatusOr<std::unique_ptr<OutputFile>> Open(const std::string& path, bool replace);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  absl::Status Write(absl::Span<const std::byte> bytes);
  // Gives the file its name.
  absl::Status Commit();

 private:
  OutputFile() = default;

  std::string path_;
  std::string temporary_;  // empty: written as it is
  int fd_ = -1;
  bool replace_ = false;
};

}  // namespace sluice

#endif  // CONTROL_CLI_OUTPUT_FILE_H_
