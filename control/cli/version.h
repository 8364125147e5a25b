#ifndef CONTROL_CLI_VERSION_H_
#define CONTROL_CLI_VERSION_H_

namespace sluice {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace sluice

#endif  // CONTROL_CLI_VERSION_H_
