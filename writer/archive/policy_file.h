// DIR/RETENTION: what people asked to be kept. It cannot come back from segments, so it is kept
// twice: here, and in the catalog.
#ifndef WRITER_ARCHIVE_POLICY_FILE_H_
#define WRITER_ARCHIVE_POLICY_FILE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "writer/catalog/catalog.h"
#include "writer/retention/policy.h"

namespace sluice {

std::string PolicyPath(const std::string& directory);

// NOT_FOUND: there is none. DATA_LOSS: it is damaged. FAILED_PRECONDITION: of a newer version.
absl::StatusOr<RetentionPolicy> ReadPolicyFile(const std::string& directory);
// Durable when it returns OK; else the file is what it was, but the power may fail before the disk
// knows that. One whole file is always there.
absl::Status WritePolicyFile(const std::string& directory, const RetentionPolicy& policy);

// At start, for writing: the newer of the file and the catalog's copy; where one is missing,
// damaged or older it is made anew from the other, with a note. DATA_LOSS when what is held cannot
// be known any more; then nothing may be written over.
absl::StatusOr<RetentionPolicy> RecoverPolicy(const std::string& directory, Catalog& catalog,
                                              std::vector<std::string>* notes);

}  // namespace sluice

#endif  // WRITER_ARCHIVE_POLICY_FILE_H_
