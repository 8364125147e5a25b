// Which kernel this is.
#ifndef INGEST_PROBE_KERNEL_RELEASE_H_
#define INGEST_PROBE_KERNEL_RELEASE_H_

#include <string>

namespace sluice {

// As `uname -r` says it.
std::string KernelRelease();

// Whether a release like "6.18.44-1-amd64" is that of Linux MAJOR.MINOR or newer. What it cannot
// read is taken for new: features are asked for, the release only explains their absence.
bool IsAtLeast(const std::string& release, int major, int minor);

}  // namespace sluice

#endif  // INGEST_PROBE_KERNEL_RELEASE_H_
