#include "control/service/managed_interfaces.h"

#include <stdlib.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/nic/fake_nic.h"
#include "control/nic/nic_journal.h"
#include "control/nic/nic_transaction.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ManagedInterfacesTest : public testing::Test {
 protected:
  ManagedInterfacesTest() {
    journals_ = testing::TempDir() + "nics-XXXXXX";
    EXPECT_NE(mkdtemp(journals_.data()), nullptr);
    before_ = nic_.FakeNic::Dump();
  }

  // One run of the program.
  std::unique_ptr<ManagedInterfaces> Start() {
    return std::make_unique<ManagedInterfaces>(
        &nic_, journals_, [](const std::string&) {},
        [this](const std::string& sentence) { warnings_.push_back(sentence); });
  }
  static InterfaceConfig Want(bool restore, const std::string& interface = "eth1") {
    InterfaceConfig config;
    config.desired.interface = interface;
    config.desired.zero_copy_queues = {3};
    config.restore_at_shutdown = restore;
    return config;
  }

  FakeNic nic_{FakeNic::Bnxt()};
  std::string journals_;
  std::string before_;
  std::vector<std::string> warnings_;
};

TEST_F(ManagedInterfacesTest, PutsBackOnlyWhatIsAskedFor) {
  const auto interfaces = Start();
  ASSERT_TRUE(interfaces->Apply({Want(/*restore=*/true)}).ok());
  EXPECT_NE(nic_.FakeNic::Dump(), before_);
  interfaces->Restore();
  EXPECT_EQ(nic_.FakeNic::Dump(), before_);

  ASSERT_TRUE(interfaces->Apply({Want(/*restore=*/false)}).ok());
  const std::string set = nic_.FakeNic::Dump();
  interfaces->Restore();
  EXPECT_EQ(nic_.FakeNic::Dump(), set);
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(ManagedInterfacesTest, OneThatCannotBeSetPutsTheOthersBack) {
  const absl::Status status = Start()->Apply({Want(/*restore=*/true), Want(true, "nosuch")});
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"nosuch\""));
  EXPECT_EQ(nic_.FakeNic::Dump(), before_);
}

// Wherever it died: also where the configuration does not name the card any more.
TEST_F(ManagedInterfacesTest, UndoesWhatWasLeftHalfDone) {
  int undone = 0;
  for (int changes = 0;; ++changes) {
    ASSERT_LT(changes, 100);
    nic_.DieAfterChanges(changes);
    const bool died = !Start()->Apply({Want(/*restore=*/false)}).ok();
    nic_.Revive();
    warnings_.clear();
    Start()->Recover();
    if (!died) {
      EXPECT_NE(nic_.FakeNic::Dump(), before_);  // it was done: it stays
      EXPECT_THAT(warnings_, IsEmpty());
      break;
    }
    EXPECT_EQ(nic_.FakeNic::Dump(), before_) << changes;
    if (changes > 0) {
      EXPECT_THAT(warnings_, Contains(HasSubstr("eth1 was left half changed by an earlier run")));
    }
    ++undone;
  }
  EXPECT_GT(undone, 1);
}

TEST_F(ManagedInterfacesTest, WhatCannotBeUndoneIsWarnedOf) {
  nic_.DieAfterChanges(1);
  EXPECT_FALSE(Start()->Apply({Want(/*restore=*/false)}).ok());
  Start()->Recover();  // nothing answers yet
  EXPECT_THAT(warnings_, Contains(HasSubstr("eth1: what an earlier run left half done was not")));
}

}  // namespace
}  // namespace sluice
