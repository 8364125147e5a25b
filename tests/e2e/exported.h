// What `sluice export` prints, compared with what was sent.
#ifndef TESTS_E2E_EXPORTED_H_
#define TESTS_E2E_EXPORTED_H_

#include <cstdint>
#include <string>

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

}  // namespace sluice

#endif  // TESTS_E2E_EXPORTED_H_
