// A network card and its driver, as the kernel shows them, for tests: what drivers do differently.
#ifndef CONTROL_NIC_FAKE_NIC_H_
#define CONTROL_NIC_FAKE_NIC_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/nic/nic_port.h"
#include "control/nic/nic_state.h"

namespace sluice {

// Answers in netlink messages and ethtool structs. What each driver's shape is was taken from the
// drivers' sources (Linux 6.18 to 7.3), not recorded from hardware.
class FakeNic final : public NicPort {
 public:
  struct Shape {
    std::string driver;
    Channels channels;
    Rings rings;
    bool threshold = true;       // hds-thresh exists
    uint32_t table = 128;        // of RSS; 0: not to be set
    bool table_follows = false;  // its size does, and is a multiple of the channels
    bool contexts = true;
    bool lists_contexts = true;  // by netlink (Linux 6.12)
    uint32_t rules_max = 1024;   // 0: no flow rules
    bool chooses_location = false;
    bool channels_drop_rules = false;                 // a change of channels forgets them
    bool ntuple_drops_rules = true;                   // as does switching them off
    HeaderSplit split_by_itself = HeaderSplit::kOff;  // what "auto" comes to
  };
  // Like bnxt_en, mlx5_core and gve.
  static Shape Bnxt();
  static Shape Mlx5();
  static Shape Gve();

  explicit FakeNic(Shape shape, std::string interface = "eth1");

  // All that the card holds, also what cannot be read from outside: as one text, to compare.
  std::string Dump() const;

  // Somebody else's rule.
  void AddRule(const FlowRule& rule) {
    ntuple_ = true;
    rules_[rule.location()] = rule;
  }
  // A program has bound this queue to its memory.
  void Bind(uint32_t queue) { bound_ = queue; }

  // The `n`th change from now on, counted from 0, fails with `error`, and changes nothing; later
  // ones do not.
  void FailChange(int n, int error) { fail_at_ = {n, error}; }
  // As when the program is killed: after `n` changes nothing is answered any more, until Revive().
  void DieAfterChanges(int n) { changes_left_ = n; }
  void Revive() { changes_left_.reset(); }
  // Says yes to everything, and does nothing.
  void Ignore() { ignores_ = true; }
  int changes() const { return changes_; }

  absl::StatusOr<std::vector<std::string>> Interfaces() override {
    return std::vector<std::string>{interface_};
  }
  absl::StatusOr<GenetlinkFamily> Family(const std::string& name) override;
  absl::StatusOr<Attributes> Do(GenetlinkRequest& request, absl::string_view what) override;
  absl::StatusOr<std::vector<Attributes>> Dump(GenetlinkRequest& request,
                                               absl::string_view what) override;
  absl::Status Ethtool(const std::string& interface, void* command,
                       absl::string_view what) override;
  absl::StatusOr<std::string> ReadText(const std::string& path) override;

 private:
  struct Failure {
    int at = 0;
    int error = 0;
  };
  // 0: go on.
  int Begin(bool change);
  int SetChannels(const Attributes& request);
  int SetRings(const Attributes& request);
  int SetRss(const void* command, uint32_t* context);
  int InsertRule(const FlowRule& rule);
  HeaderSplit split() const;
  Attributes ChannelsReply() const;
  Attributes RingsReply() const;

  const Shape shape_;
  const std::string interface_;
  Channels channels_;
  Rings rings_;
  HeaderSplit asked_split_ = HeaderSplit::kUnknown;  // cannot be read
  bool ntuple_ = false;
  Indirection table_;
  bool table_is_ours_ = false;  // set by somebody: not adapted any more; cannot be read
  std::map<uint32_t, Indirection> contexts_;
  std::map<uint32_t, FlowRule> rules_;
  std::optional<uint32_t> bound_;
  std::optional<Failure> fail_at_;
  std::optional<int> changes_left_;
  bool ignores_ = false;
  int changes_ = 0;
};

}  // namespace sluice

#endif  // CONTROL_NIC_FAKE_NIC_H_
