// The network cards of the configuration: set when the daemon starts, put back when it ends.
#ifndef CONTROL_SERVICE_MANAGED_INTERFACES_H_
#define CONTROL_SERVICE_MANAGED_INTERFACES_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "control/config/interface_config.h"
#include "control/nic/nic_port.h"

namespace sluice {

// Used by one thread.
class ManagedInterfaces {
 public:
  using Log = std::function<void(const std::string& sentence)>;

  // `journals`: the directory where it is remembered what cards were; see NicJournal. `port`
  // outlives this.
  ManagedInterfaces(NicPort* port, std::string journals, Log info, Log warn)
      : port_(port),
        journals_(std::move(journals)),
        info_(std::move(info)),
        warn_(std::move(warn)) {}

  // Undoes what a program that died left half done, on any card. What cannot be undone is only
  // warned of: the card may be gone.
  void Recover();

  // Sets each card, wholly or not at all. When one cannot be set, those before it are put back as
  // by Restore(), and the error names it.
  absl::Status Apply(const std::vector<InterfaceConfig>& interfaces);

  // Sets one, wholly or not at all.
  absl::Status ApplyOne(const InterfaceConfig& interface);

  // Puts those cards back whose configuration asks for it.
  void Restore();

 private:
  absl::Status RestoreOne(const std::string& interface);

  NicPort* const port_;
  const std::string journals_;
  const Log info_;
  const Log warn_;
  std::vector<std::string> to_restore_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_MANAGED_INTERFACES_H_
