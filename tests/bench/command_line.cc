#include "tests/bench/command_line.h"

#include <arpa/inet.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace sluice {

void Die(const char* what, int error) {
  std::fprintf(stderr, "%s: %s%s%s\n", program_invocation_short_name, what, error ? ": " : "",
               error ? std::strerror(error) : "");
  std::exit(2);
}

int64_t OrDie(int64_t result, const char* what) {
  if (result < 0) Die(what, errno);
  return result;
}

uint64_t ParseByteSize(const char* text) {
  char* unit = nullptr;
  const double number = std::strtod(text, &unit);
  int shift = 0;
  if (*unit != '\0') {
    constexpr char kUnits[] = "BKMGT";
    const char* known = std::strchr(kUnits, *unit);
    const bool well_formed = !std::strcmp(unit + 1, "") || !std::strcmp(unit + 1, "iB");
    if (known == nullptr || !well_formed) Die(text, EINVAL);
    shift = 10 * static_cast<int>(known - kUnits);
  }
  if (unit == text || !(number >= 0)) Die(text, EINVAL);
  return static_cast<uint64_t>(number * static_cast<double>(uint64_t{1} << shift));
}

sockaddr_in ParseAddress(const char* text) {
  const std::string host(text, std::strcspn(text, ":"));
  const int port = host.size() < std::strlen(text) ? std::atoi(text + host.size() + 1) : 0;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (port < 1 || port > 65535 || inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    Die(text, EINVAL);
  }
  return address;
}

void RaiseDescriptorLimit() {
  rlimit limit;
  OrDie(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  OrDie(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

}  // namespace sluice
