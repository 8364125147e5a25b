// On the machine that is here.
#include "control/doctor/read_facts.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

class ReadFactsTest : public ::testing::Test {
 protected:
  ReadFactsTest() {
    std::string name = ::testing::TempDir() + "doctor-test-XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  ~ReadFactsTest() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
};

TEST_F(ReadFactsTest, WhatIsNotAskedForIsNotThere) {
  const absl::StatusOr<DoctorFacts> facts = ReadFacts({});
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_NE(facts->kernel.release, "");
  EXPECT_FALSE(facts->interface || facts->queue || facts->queue_facts || facts->device_trial);
  EXPECT_FALSE(facts->disk);
}

TEST_F(ReadFactsTest, AQueueOfLoopback) {
  const absl::StatusOr<DoctorFacts> facts = ReadFacts({.interface = "lo", .queue = 0});
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->interface->name, "lo");
  EXPECT_EQ(facts->queue, 0u);
  EXPECT_TRUE(facts->queue_facts.has_value());
  EXPECT_EQ(facts->device_trial.has_value(),
            facts->kernel.receive_zero_copy && facts->kernel.cqe32);
  if (facts->device_trial) {
    EXPECT_FALSE(facts->device_trial->ok());
  }
}

TEST_F(ReadFactsTest, ADirectoryIsLeftAsItWas) {
  const absl::StatusOr<DoctorFacts> facts = ReadFacts({.directory = directory_});
  ASSERT_TRUE(facts.ok()) << facts.status();
  ASSERT_TRUE(facts->disk.has_value());
  ASSERT_TRUE(facts->disk->ok()) << facts->disk->status();
  EXPECT_GE((*facts->disk)->write_bytes_max, 4096u);
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(ReadFactsTest, MistakesAreTheUsers) {
  std::ofstream(directory_ + "/file") << "text";
  const auto expect = [](const DoctorQuestion& question, const std::string& says) {
    const absl::Status status = ReadFacts(question).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(says));
  };
  expect({.interface = "nosuchone"}, "no interface \"nosuchone\"");
  expect({.interface = ""}, "no interface \"\"");
  expect({.directory = ""}, "is empty");
  expect({.directory = directory_ + "/none"}, "there is no directory");
  expect({.directory = directory_ + "/file"}, "is not a directory");
}

}  // namespace
}  // namespace sluice
