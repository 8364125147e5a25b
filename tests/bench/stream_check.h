#ifndef TESTS_BENCH_STREAM_CHECK_H_
#define TESTS_BENCH_STREAM_CHECK_H_

#include <cstdint>
#include <string>

#include "tests/bench/stream_content.h"

namespace sluice {

// Reads `file` to its end and says where it first differs from the stream, or nothing.
// `stream` -1: whichever stream the first stamp names. `bytes` -1: any length will do. `begin`: of
// the file's first byte in the stream, which must then be named.
std::string CheckStream(const StreamContent& content, int64_t stream, int64_t bytes, int file,
                        uint64_t begin = 0);

}  // namespace sluice

#endif  // TESTS_BENCH_STREAM_CHECK_H_
