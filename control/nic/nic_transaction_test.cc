// Every step failing in turn, and the program dying between any two, on cards whose drivers
// differ: what was there before is there again, byte for byte.
#include "control/nic/nic_transaction.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/nic/fake_nic.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

FlowMatch ToPort(uint16_t port, int family = 4) {
  FlowMatch match;
  match.family = family;
  match.destination_port = port;
  return match;
}

// A rule that somebody else has made, of a kind that is none of ours.
FlowRule Foreign(uint32_t location) {
  FlowRule rule = RuleToQueue(ToPort(22), 1);
  rule.spec.flow_type |= FLOW_EXT;
  rule.spec.h_ext.vlan_tci = 0x1234;
  rule.spec.m_ext.vlan_tci = 0xFFFF;
  rule.spec.location = location;
  return rule;
}

struct Case {
  std::string name;
  std::function<FakeNic::Shape()> shape;
  DesiredNic desired;
  bool in_use = false;  // somebody has a rule of his own
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

DesiredNic Want(std::set<uint32_t> queues, std::vector<DesiredRule> rules) {
  DesiredNic desired;
  desired.interface = "eth1";
  desired.zero_copy_queues = std::move(queues);
  desired.rules = std::move(rules);
  return desired;
}

std::vector<Case> Cases() {
  DesiredNic bnxt = Want({6, 7}, {{ToPort(9000), {}}, {ToPort(9000, 6), {}}, {ToPort(9001), 6}});
  bnxt.receive_queues = 8;
  bnxt.ring_size = 64;
  DesiredNic mlx5 = Want({7}, {{ToPort(9000), {}}, {ToPort(9001, 6), 7}});
  mlx5.receive_queues = 12;
  DesiredNic fewer = Want({3}, {{ToPort(9000), 3}});
  fewer.receive_queues = 4;
  DesiredNic gve = Want({7}, {{ToPort(9000), {}}});
  std::vector<Case> cases = {{"Bnxt", FakeNic::Bnxt, bnxt},
                             {"Mlx5", FakeNic::Mlx5, mlx5},
                             {"Mlx5Fewer", FakeNic::Mlx5, fewer},
                             {"Gve", FakeNic::Gve, gve}};
  for (size_t i = 0; i < 4; ++i) {
    Case in_use = cases[i];
    in_use.name += "InUse";
    in_use.in_use = true;
    cases.push_back(in_use);
  }
  return cases;
}

class NicTransactionTest : public testing::TestWithParam<Case> {
 protected:
  NicTransactionTest() : nic_(GetParam().shape()) {
    directory_ = absl::StrCat(testing::TempDir(), "/nic");
    journal_ = Journal();
    if (GetParam().in_use) nic_.AddRule(Foreign(2));
    before_ = nic_.FakeNic::Dump();
    EXPECT_TRUE(journal_->Remove().ok());
  }

  std::unique_ptr<NicJournal> Journal() {
    auto journal = NicJournal::Open(directory_, "eth1");
    EXPECT_TRUE(journal.ok()) << journal.status();
    return *std::move(journal);
  }
  // Another program, after this one has died.
  void Restart() {
    journal_.reset();
    journal_ = Journal();
    nic_.Revive();
  }
  absl::Status Apply() { return ApplyNic(nic_, *journal_, GetParam().desired); }

  FakeNic nic_;
  std::string directory_;
  std::unique_ptr<NicJournal> journal_;
  std::string before_;
};

INSTANTIATE_TEST_SUITE_P(Shapes, NicTransactionTest, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

TEST_P(NicTransactionTest, BecomesWhatIsDesiredAndBack) {
  const absl::Status applied = Apply();
  ASSERT_TRUE(applied.ok()) << applied;
  const absl::StatusOr<NicState> state = ReadNicState(nic_, "eth1");
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->rings->header_split, HeaderSplit::kOn);
  EXPECT_EQ(state->rings->header_split_threshold.value_or(0), 0u);
  for (const uint32_t queue : *state->indirection) {
    EXPECT_FALSE(GetParam().desired.zero_copy_queues.contains(queue)) << queue;
  }
  EXPECT_TRUE(state->ntuple.value_or(false));
  EXPECT_THAT(state->rules, SizeIs(GetParam().desired.rules.size() + GetParam().in_use));
  if (GetParam().in_use) {
    EXPECT_TRUE(state->rules.at(2) == Foreign(2));
  }
  EXPECT_THAT(*Steps(*state, GetParam().desired), IsEmpty());

  ASSERT_TRUE(RevertNic(nic_, *journal_).ok());
  EXPECT_EQ(nic_.FakeNic::Dump(), before_);
  EXPECT_TRUE(absl::IsNotFound(RevertNic(nic_, *journal_)));
}

TEST_P(NicTransactionTest, ThePlanIsWhatIsDone) {
  const absl::StatusOr<NicState> state = ReadNicState(nic_, "eth1");
  const absl::StatusOr<std::vector<NicStep>> plan = Steps(*state, GetParam().desired);
  ASSERT_TRUE(plan.ok()) << plan.status();
  std::vector<std::string> planned;
  for (const NicStep& step : *plan) planned.push_back(AsCommand("eth1", step));
  std::vector<std::string> done;
  ASSERT_TRUE(ApplyNic(nic_, *journal_, GetParam().desired, [&](const NicStep& step) {
                done.push_back(AsCommand("eth1", step));
              }).ok());
  // Rules that the driver forgets on the way are put back beside the plan.
  done.erase(std::remove_if(done.begin(), done.end(),
                            [&](const std::string& command) {
                              return command.find(" loc 2") != std::string::npos &&
                                     GetParam().shape().channels_drop_rules;
                            }),
             done.end());
  for (std::string* command : {&planned.back(), &done.back()}) {
    if (const size_t at = command->find(" loc "); at != std::string::npos) command->resize(at);
  }
  EXPECT_EQ(planned.size(), done.size()) << testing::PrintToString(done);
  EXPECT_EQ(planned.front(), done.front());
}

TEST_P(NicTransactionTest, AStepThatFailsUndoesAll) {
  int failed = 0;
  for (int at = 0;; ++at) {
    nic_.FailChange(at, at % 2 == 0 ? EBUSY : EINVAL);
    const absl::Status status = Apply();
    if (status.ok()) break;  // so many changes there are
    ++failed;
    EXPECT_THAT(std::string(status.message()), HasSubstr("`ethtool -"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("eth1 was put back as it was"));
    EXPECT_EQ(nic_.FakeNic::Dump(), before_) << "change " << at << ": " << status;
    EXPECT_FALSE(journal_->Read()->has_value());
    ASSERT_LT(at, 100);
  }
  EXPECT_GE(failed, 3);
}

TEST_P(NicTransactionTest, DeathBetweenAnyTwoStepsIsUndoneAtTheNextStart) {
  int died = 0;
  for (int at = 0;; ++at) {
    nic_.DieAfterChanges(at);
    const bool survived = Apply().ok();
    Restart();
    if (survived) break;
    ++died;
    const absl::StatusOr<bool> undone = RecoverNic(nic_, *journal_);
    ASSERT_TRUE(undone.ok()) << undone.status();
    EXPECT_TRUE(*undone || at == 0);
    EXPECT_EQ(nic_.FakeNic::Dump(), before_) << "after change " << at;
    EXPECT_FALSE(*RecoverNic(nic_, *journal_));
    ASSERT_LT(at, 100);
  }
  EXPECT_GE(died, 3);
}

TEST_P(NicTransactionTest, DeathWhileItIsUndoneIsUndoneToo) {
  for (int at = 0;; ++at) {
    ASSERT_TRUE(Apply().ok());
    const std::string applied = nic_.FakeNic::Dump();
    nic_.DieAfterChanges(at);
    const bool survived = RevertNic(nic_, *journal_).ok();
    Restart();
    const absl::StatusOr<bool> went_on = RecoverNic(nic_, *journal_);
    ASSERT_TRUE(went_on.ok()) << went_on.status();
    if (!survived && !*went_on) {  // it had not begun
      EXPECT_EQ(nic_.FakeNic::Dump(), applied);
      EXPECT_TRUE(RevertNic(nic_, *journal_).ok());
    }
    EXPECT_EQ(nic_.FakeNic::Dump(), before_) << "after change " << at;
    if (survived) break;
    ASSERT_LT(at, 100);
  }
}

TEST_P(NicTransactionTest, AFailedUndoCanBeRepeated) {
  ASSERT_TRUE(Apply().ok());
  nic_.FailChange(1, EBUSY);
  const absl::Status status = RevertNic(nic_, *journal_);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("a program has one of its queues"));
  ASSERT_TRUE(RevertNic(nic_, *journal_).ok());
  EXPECT_EQ(nic_.FakeNic::Dump(), before_);
}

TEST_P(NicTransactionTest, ADriverThatOnlySaysYesIsFoundOut) {
  nic_.Ignore();
  const absl::Status status = Apply();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("reading back shows"));
  EXPECT_EQ(nic_.FakeNic::Dump(), before_);
}

TEST_P(NicTransactionTest, WhatIsDesiredNowReplacesWhatWas) {
  ASSERT_TRUE(Apply().ok());
  DesiredNic other = GetParam().desired;
  other.rules = {{ToPort(9002), *other.zero_copy_queues.begin()}};
  ASSERT_TRUE(ApplyNic(nic_, *journal_, other).ok());
  const absl::StatusOr<NicState> state = ReadNicState(nic_, "eth1");
  EXPECT_THAT(state->rules, SizeIs(1 + GetParam().in_use));
  EXPECT_THAT(state->contexts, IsEmpty());
  ASSERT_TRUE(RevertNic(nic_, *journal_).ok());
  EXPECT_EQ(nic_.FakeNic::Dump(), before_);
}

TEST_P(NicTransactionTest, WhatDriftedIsMendedByApplyingAgain) {
  ASSERT_TRUE(Apply().ok());
  const std::string applied = nic_.FakeNic::Dump();
  const absl::StatusOr<NicState> state = ReadNicState(nic_, "eth1");
  NicStep drift = SetNtuple{false};
  ASSERT_TRUE(Perform(nic_, *state, drift).ok());
  EXPECT_NE(nic_.FakeNic::Dump(), applied);
  EXPECT_THAT(*Steps(*ReadNicState(nic_, "eth1"), GetParam().desired), Not(IsEmpty()));
  ASSERT_TRUE(Apply().ok());
  EXPECT_THAT(*Steps(*ReadNicState(nic_, "eth1"), GetParam().desired), IsEmpty());
}

TEST(NicJournalTest, OneProgramAtATime) {
  const std::string directory = absl::StrCat(testing::TempDir(), "/locked");
  const auto one = NicJournal::Open(directory, "eth1");
  ASSERT_TRUE(one.ok());
  const absl::Status other = NicJournal::Open(directory, "eth1").status();
  EXPECT_TRUE(absl::IsUnavailable(other)) << other;
  EXPECT_TRUE(NicJournal::Open(directory, "eth2").ok());
}

}  // namespace
}  // namespace sluice
