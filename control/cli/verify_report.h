// What `sluice verify` says.
#ifndef CONTROL_CLI_VERIFY_REPORT_H_
#define CONTROL_CLI_VERIFY_REPORT_H_

#include <string>

#include "writer/archive/verify.h"

namespace sluice {

// Each finding and each note on a line of its own, then one line that sums up.
std::string VerifyText(const VerifyReport& report);
std::string VerifyJson(const VerifyReport& report);

}  // namespace sluice

#endif  // CONTROL_CLI_VERIFY_REPORT_H_
