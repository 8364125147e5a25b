// What `sluice export` prints, compared with what was sent.
#ifndef TESTS_E2E_EXPORTED_H_
#define TESTS_E2E_EXPORTED_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/bench/stream_content.h"
#include "tests/e2e/sluice.h"

namespace sluice {

// Reads `fd` up to `limit` bytes or its end. "" when these are the bytes of the content's stream
// `number` from `begin` on, and `bytes` of them; else what is different.
std::string CompareBytes(int fd, const StreamContent& content, uint64_t number, uint64_t begin,
                         uint64_t bytes);

// "" when `sluice export ID TARGET... MORE...` prints bytes [begin, end) of the stream and
// succeeds; else what it does instead.
struct Expected {
  uint64_t number = 0;
  uint64_t begin = 0;
  uint64_t end = 0;
};
std::string CompareExport(const std::string& id, const Words& target, const StreamContent& content,
                          const Expected& expected, const Words& more = {});

// What the sender sent and nobody has: [begin, end) of the stream.
struct SentGap {
  uint64_t begin = 0;
  uint64_t end = 0;

  bool operator==(const SentGap&) const = default;
};

// What `sluice export --gap-list FILE` wrote. Each gap's cause is the policy, or the test fails.
std::vector<SentGap> ReadGapList(const std::string& file);

// How an export shows the bytes of a gap.
enum class GapBytes { kLeftOut, kZeros };

// Reads from `fd` what `expected` says of a stream with `gaps`, which are in order, and no more.
// "" when these are the sender's bytes around the gaps; else what is different.
std::string CompareAroundGaps(int fd, const StreamContent& content, const Expected& expected,
                              const std::vector<SentGap>& gaps, GapBytes shown);

}  // namespace sluice

#endif  // TESTS_E2E_EXPORTED_H_
