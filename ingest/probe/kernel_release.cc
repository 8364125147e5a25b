#include "ingest/probe/kernel_release.h"

#include <sys/utsname.h>

#include <cstdio>
#include <utility>

namespace sluice {

std::string KernelRelease() {
  utsname name;
  return uname(&name) == 0 ? name.release : "unknown";
}

bool IsAtLeast(const std::string& release, int major, int minor) {
  int its_major = 0;
  int its_minor = 0;
  if (std::sscanf(release.c_str(), "%d.%d", &its_major, &its_minor) != 2) return true;
  return std::pair(its_major, its_minor) >= std::pair(major, minor);
}

}  // namespace sluice
