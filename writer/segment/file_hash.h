// The SHA-256 of a file, as sha256sum says it.
#ifndef WRITER_SEGMENT_FILE_HASH_H_
#define WRITER_SEGMENT_FILE_HASH_H_

#include <string>

#include "absl/status/statusor.h"
#include "writer/segment/segment_link.h"

namespace sluice {

absl::StatusOr<Sha256> FileSha256(const std::string& path);

}  // namespace sluice

#endif  // WRITER_SEGMENT_FILE_HASH_H_
