#include "writer/archive/policy_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/retention/policy_text.h"
#include "writer/segment/file_io.h"

namespace sluice {
namespace {

absl::Status SyncDirectory(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return FileError("open", path, errno);
  return fsync(fd.get()) == 0 ? absl::OkStatus() : FileError("fsync", path, errno);
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return FileError("open", path, errno);
  std::string text;
  char block[65536];
  while (text.size() <= kPolicyTextMax) {
    const ssize_t n = read(fd.get(), block, sizeof(block));
    if (n == 0) return text;
    if (n < 0 && errno != EINTR) return FileError("read", path, errno);
    if (n > 0) text.append(block, static_cast<size_t>(n));
  }
  return absl::DataLossError(absl::StrCat(path, ": it is longer than any retention file"));
}

}  // namespace

std::string PolicyPath(const std::string& directory) { return directory + "/RETENTION"; }

absl::StatusOr<RetentionPolicy> ReadPolicyFile(const std::string& directory) {
  const std::string path = PolicyPath(directory);
  SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  absl::StatusOr<RetentionPolicy> policy = ParsePolicy(text);
  if (policy.ok()) return policy;
  return absl::Status(policy.status().code(), absl::StrCat(path, ": ", policy.status().message()));
}

absl::Status WritePolicyFile(const std::string& directory, const RetentionPolicy& policy) {
  const std::string path = PolicyPath(directory);
  const std::string temporary = path + ".tmp";
  const std::string text = EncodePolicy(policy);
  const UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
  if (fd.get() < 0) return FileError("open", temporary, errno);
  SLUICE_RETURN_IF_ERROR(WriteFully(
      fd.get(), temporary, {0}, {reinterpret_cast<const std::byte*>(text.data()), text.size()}));
  if (fsync(fd.get()) != 0) return FileError("fsync", temporary, errno);
  // What there was stays at hand until the new one is durable: an answer that it is not must not
  // come true at the next start.
  const std::string before = path + ".before";
  unlink(before.c_str());
  const bool has_before = link(path.c_str(), before.c_str()) == 0;
  const bool is_first = !has_before && errno == ENOENT;
  if (rename(temporary.c_str(), path.c_str()) != 0) return FileError("rename to", path, errno);
  const absl::Status status = SyncDirectory(directory);
  if (!status.ok() && has_before) {
    rename(before.c_str(), path.c_str());
  } else if (!status.ok() && is_first) {
    unlink(path.c_str());
  } else {
    unlink(before.c_str());
  }
  return status;
}

absl::StatusOr<RetentionPolicy> RecoverPolicy(const std::string& directory, Catalog& catalog,
                                              std::vector<std::string>* notes) {
  const std::string path = PolicyPath(directory);
  const absl::StatusOr<RetentionPolicy> file = ReadPolicyFile(directory);
  if (!file.ok() && !absl::IsNotFound(file.status()) && !absl::IsDataLoss(file.status())) {
    return file.status();
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string text, catalog.Policy());
  const absl::StatusOr<RetentionPolicy> copy =
      text.empty() ? absl::NotFoundError("") : ParsePolicy(text);
  if (absl::IsFailedPrecondition(copy.status())) return copy.status();

  if (file.ok() && (!copy.ok() || copy->generation < file->generation)) {
    SLUICE_RETURN_IF_ERROR(catalog.PutPolicy(EncodePolicy(*file)));
    return *file;
  }
  if (copy.ok() && (!file.ok() || file->generation < copy->generation)) {
    if (absl::IsDataLoss(file.status())) {
      rename(path.c_str(), (path + ".damaged").c_str());
      notes->push_back(
          absl::StrCat(file.status().message(), "; it was made anew from the catalog"));
    } else if (absl::IsNotFound(file.status())) {
      notes->push_back(absl::StrCat(path, " was missing; it was made anew from the catalog"));
    } else {
      notes->push_back(absl::StrCat(path, " was older than the catalog's copy, which was taken"));
    }
    SLUICE_RETURN_IF_ERROR(WritePolicyFile(directory, *copy));
    return *copy;
  }
  if (file.ok()) return *file;
  if (absl::IsNotFound(file.status()) && absl::IsNotFound(copy.status())) return RetentionPolicy();
  return absl::DataLossError(absl::StrCat(
      absl::IsDataLoss(file.status())
          ? std::string(file.status().message())
          : absl::StrCat(path, " is missing, and the catalog's copy: ", copy.status().message()),
      ". What is held cannot be known, so nothing is written over: restore the file from a "
      "backup, or remove ",
      path, " and ", directory, "/catalog.db to give up every hold and retention class"));
}

}  // namespace sluice
