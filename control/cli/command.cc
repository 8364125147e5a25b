#include "control/cli/command.h"

#include <iostream>
#include <string>

#include "control/cli/human.h"

namespace sluice {

int Fail(const absl::Status& status) {
  const std::string message(status.message());
  std::cerr << "sluice: " << (message.empty() ? absl::StatusCodeToString(status.code()) : message)
            << '\n';
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitFailed;
}

void Note(absl::string_view text) { std::cerr << "sluice: note: " << std::string(text) << '\n'; }

}  // namespace sluice
