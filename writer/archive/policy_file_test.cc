#include "writer/archive/policy_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/test_archive.h"

namespace {
bool directories_fail = false;
}  // namespace

// In place of libc's: a disk that takes files, and no names.
extern "C" int fsync(int fd) {
  struct stat info = {};
  if (!directories_fail || fstat(fd, &info) != 0 || !S_ISDIR(info.st_mode)) return 0;
  errno = EIO;
  return -1;
}

namespace sluice {
namespace {

RetentionPolicy Policy(uint64_t generation) {
  RetentionPolicy policy;
  policy.generation = generation;
  return policy;
}

class PolicyFileTest : public testing::Test {
 protected:
  ~PolicyFileTest() override { directories_fail = false; }

  const std::string directory_ = FreshDirectory();
};

TEST_F(PolicyFileTest, WhatIsWrittenIsRead) {
  EXPECT_TRUE(absl::IsNotFound(ReadPolicyFile(directory_).status()));
  for (const uint64_t generation : {1, 2}) {
    ASSERT_TRUE(WritePolicyFile(directory_, Policy(generation)).ok());
    EXPECT_EQ(*ReadPolicyFile(directory_), Policy(generation));
  }
  const auto files = std::filesystem::directory_iterator(directory_);
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

// Else a hold that could not be released would be gone at the next start.
TEST_F(PolicyFileTest, WhatIsNotDurableIsTakenBack) {
  directories_fail = true;
  EXPECT_FALSE(WritePolicyFile(directory_, Policy(1)).ok());
  EXPECT_TRUE(absl::IsNotFound(ReadPolicyFile(directory_).status()));
  directories_fail = false;
  ASSERT_TRUE(WritePolicyFile(directory_, Policy(1)).ok());
  directories_fail = true;
  EXPECT_FALSE(WritePolicyFile(directory_, Policy(2)).ok());
  EXPECT_EQ(*ReadPolicyFile(directory_), Policy(1));
  directories_fail = false;
  ASSERT_TRUE(WritePolicyFile(directory_, Policy(2)).ok());
  EXPECT_EQ(*ReadPolicyFile(directory_), Policy(2));
}

}  // namespace
}  // namespace sluice
