#ifndef TESTS_BENCH_COMMAND_LINE_H_
#define TESTS_BENCH_COMMAND_LINE_H_

#include <netinet/in.h>

#include <cstdint>

namespace sluice {

// The little that the programs of a benchmark share. All of it ends the program on
// failure: there is nobody to hand a status to.

// Says what failed, with errno's text when there is one, and exits with status 2.
[[noreturn]] void Die(const char* what, int error = 0);

// A count that failed (negative, errno set) ends the program; any other comes back.
int64_t OrDie(int64_t result, const char* what);

// "4096", "64KiB", "1.5GiB", "4G": powers of two whatever the spelling.
uint64_t ParseByteSize(const char* text);

// "127.0.0.1:9000"
sockaddr_in ParseAddress(const char* text);

// As many file descriptors as the hard limit allows.
void RaiseDescriptorLimit();

}  // namespace sluice

#endif  // TESTS_BENCH_COMMAND_LINE_H_
