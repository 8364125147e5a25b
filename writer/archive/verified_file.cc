#include "writer/archive/verified_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive_files.h"
#include "writer/extent/crc32c.h"
#include "writer/segment/file_io.h"

namespace sluice {
namespace {

constexpr char kName[] = "VERIFIED";
constexpr absl::string_view kFirstLine = "sluice-verified ";
constexpr absl::string_view kLastLine = "crc32c ";
constexpr size_t kTextMax = size_t{8} << 20;  // 65536 segments, and more

uint32_t Checksum(absl::string_view text) {
  return Crc32c({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  std::string text;
  char block[65536];
  while (text.size() <= kTextMax) {
    const ssize_t n = read(fd.get(), block, sizeof(block));
    if (n == 0) return text;
    if (n < 0 && errno != EINTR) return FileError("read", path, errno);
    if (n > 0) text.append(block, static_cast<size_t>(n));
  }
  return absl::DataLossError("it is too long");
}

// "segment 17 1767225600000000000 0f3c0f3c0f3c0f3c"
bool ParseLine(absl::string_view line, VerifiedSegments* to) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  uint64_t id = 0;
  VerifiedStamp stamp;
  if (words.size() != 4 || words[0] != "segment" || words[3].size() != 16) return false;
  if (!absl::SimpleAtoi(words[1], &id) || !absl::SimpleAtoi(words[2], &stamp.time.value) ||
      !absl::SimpleHexAtoi(words[3], &stamp.footer)) {
    return false;
  }
  return to->emplace(id, stamp).second;
}

}  // namespace

VerifiedStamp StampOf(const Sha256& footer, UnixNanos time) {
  VerifiedStamp stamp{time, 0};
  std::memcpy(&stamp.footer, footer.data(), sizeof(stamp.footer));
  return stamp;
}

UnixNanos VerifiedAt(const VerifiedSegments& all, SegmentId id, const Sha256& footer) {
  const auto stamp = all.find(static_cast<uint64_t>(id));
  if (stamp == all.end() || footer == Sha256{}) return {};
  return stamp->second == StampOf(footer, stamp->second.time) ? stamp->second.time : UnixNanos{};
}

std::string EncodeVerified(const VerifiedSegments& segments) {
  std::string text = absl::StrCat(kFirstLine, "1\n");
  for (const auto& [id, stamp] : segments) {
    absl::StrAppend(&text, "segment ", id, " ", stamp.time.value, " ",
                    absl::Hex(stamp.footer, absl::kZeroPad16), "\n");
  }
  return absl::StrCat(text, kLastLine, absl::Hex(Checksum(text), absl::kZeroPad8), "\n");
}

absl::StatusOr<VerifiedSegments> ParseVerified(absl::string_view text) {
  const absl::Status damaged = absl::DataLossError("it is damaged");
  absl::string_view rest = text;
  if (!absl::ConsumePrefix(&rest, kFirstLine)) return damaged;
  uint32_t version = 0;
  if (!absl::SimpleAtoi(rest.substr(0, rest.find('\n')), &version)) return damaged;
  if (version > 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("it has format version ", version, ": use a newer sluice"));
  }
  const size_t last = text.rfind(kLastLine);
  if (last == absl::string_view::npos || last == 0 || text[last - 1] != '\n') return damaged;
  if (text.substr(last) !=
      absl::StrCat(kLastLine, absl::Hex(Checksum(text.substr(0, last)), absl::kZeroPad8), "\n")) {
    return damaged;
  }
  VerifiedSegments segments;
  const std::vector<absl::string_view> lines =
      absl::StrSplit(text.substr(0, last), '\n', absl::SkipEmpty());
  for (size_t i = 1; i < lines.size(); ++i) {
    if (!ParseLine(lines[i], &segments)) return damaged;
  }
  return segments;
}

absl::StatusOr<VerifiedSegments> ReadVerified(const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/", kName);
  const absl::StatusOr<std::string> text = ReadText(path);
  if (!text.ok()) return text.status();
  absl::StatusOr<VerifiedSegments> segments = ParseVerified(*text);
  if (segments.ok()) return segments;
  return absl::Status(segments.status().code(),
                      absl::StrCat(path, ": ", segments.status().message()));
}

absl::Status AddVerified(const std::string& directory, const VerifiedSegments& more,
                         const std::set<uint64_t>& keep) {
  // One at a time, so that none writes over what another has just added.
  SLUICE_ASSIGN_OR_RETURN(const UniqueFd lock, OpenFile(directory, O_RDONLY | O_DIRECTORY));
  while (flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return FileError("lock", directory, errno);
  }
  VerifiedSegments all = more;
  const absl::StatusOr<VerifiedSegments> before = ReadVerified(directory);
  if (absl::IsFailedPrecondition(before.status())) return before.status();
  if (before.ok()) {
    for (const auto& [id, stamp] : *before) {
      if (keep.contains(id) || keep.empty() || id > *keep.rbegin()) all.emplace(id, stamp);
    }
  }
  const std::string text = EncodeVerified(all);
  return ReplaceFile(directory, kName,
                     {reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

}  // namespace sluice
