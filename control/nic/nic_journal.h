// What an interface was before it was changed: kept in a file from before the first change until
// everything is as it was again, so that nothing is forgotten when the program dies.
#ifndef CONTROL_NIC_NIC_JOURNAL_H_
#define CONTROL_NIC_NIC_JOURNAL_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/nic/nic_plan.h"
#include "control/nic/nic_state.h"

namespace sluice {

struct NicJournalEntry {
  enum class Phase {
    kApplying,   // it may be half done: to be undone
    kApplied,    // it is as desired
    kReverting,  // it may be half undone: to be undone
  };
  Phase phase = Phase::kApplying;
  NicState original;
  DesiredNic desired;
};

// The file of one interface, DIRECTORY/INTERFACE, and the lock on it, DIRECTORY/INTERFACE.lock: one
// program changes an interface at a time. The kernel forgets all settings at boot, so an entry of
// an earlier boot is none.
class NicJournal {
 public:
  // Where they are unless somebody says otherwise; empty after a boot, as the settings are.
  static constexpr char kDirectory[] = "/run/sluice/nic";

  // Makes the directory. UNAVAILABLE: another program has the lock. PERMISSION_DENIED.
  static absl::StatusOr<std::unique_ptr<NicJournal>> Open(const std::string& directory,
                                                          const std::string& interface);
  ~NicJournal();
  NicJournal(const NicJournal&) = delete;
  NicJournal& operator=(const NicJournal&) = delete;

  // Those that the directory has anything of, by name.
  static std::vector<std::string> Interfaces(const std::string& directory);

  // Nothing: the interface is nobody's. DATA_LOSS: the file is damaged; what to do is said.
  absl::StatusOr<std::optional<NicJournalEntry>> Read() const;
  // Survives the death of the program when it returns: the file is replaced as a whole.
  absl::Status Write(const NicJournalEntry& entry);
  absl::Status Remove();

 private:
  NicJournal(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  const std::string path_;
  const int lock_;
};

// Without the lock, for those who only look.
absl::StatusOr<std::optional<NicJournalEntry>> ReadNicJournal(const std::string& directory,
                                                              const std::string& interface);

}  // namespace sluice

#endif  // CONTROL_NIC_NIC_JOURNAL_H_
