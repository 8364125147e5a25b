#include "control/cli/output_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace sluice {
namespace {

class OutputFileTest : public testing::Test {
 protected:
  OutputFileTest() : directory_(testing::TempDir() + "/output_file_test") {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
  }

  std::string Path() const { return directory_ + "/out.bin"; }
  size_t Files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_),
                                             std::filesystem::directory_iterator()));
  }
  static absl::Span<const std::byte> Bytes(const std::string& text) {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
  }
  static std::string ReadAll(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string directory_;
};

TEST_F(OutputFileTest, AppearsWhenItIsWhole) {
  {
    auto file = OutputFile::Open(Path(), false);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Write(Bytes("hello ")).ok());
    EXPECT_FALSE(std::filesystem::exists(Path()));
    ASSERT_TRUE((*file)->Write(Bytes("world")).ok());
    ASSERT_TRUE((*file)->Commit().ok());
  }
  EXPECT_EQ(ReadAll(Path()), "hello world");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(OutputFileTest, LeavesNothingBehindWithoutCommit) {
  {
    auto file = OutputFile::Open(Path(), false);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Write(Bytes("hello")).ok());
  }
  EXPECT_EQ(Files(), 0u);
}

TEST_F(OutputFileTest, DoesNotReplaceUnlessToldTo) {
  std::ofstream(Path()) << "old";
  EXPECT_TRUE(absl::IsAlreadyExists(OutputFile::Open(Path(), false).status()));
  auto file = OutputFile::Open(Path(), true);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Write(Bytes("new")).ok());
  EXPECT_EQ(ReadAll(Path()), "old");
  ASSERT_TRUE((*file)->Commit().ok());
  EXPECT_EQ(ReadAll(Path()), "new");
}

TEST_F(OutputFileTest, DoesNotReplaceWhatAppearedMeanwhile) {
  auto file = OutputFile::Open(Path(), false);
  ASSERT_TRUE(file.ok());
  std::ofstream(Path()) << "theirs";
  EXPECT_TRUE(absl::IsAlreadyExists((*file)->Commit()));
  EXPECT_EQ(ReadAll(Path()), "theirs");
}

TEST_F(OutputFileTest, DevicesAreWrittenAsTheyAre) {
  auto file = OutputFile::Open("/dev/null", false);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE((*file)->Write(Bytes("x")).ok());
  EXPECT_TRUE((*file)->Commit().ok());
  struct stat info = {};
  ASSERT_EQ(stat("/dev/null", &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
}

TEST_F(OutputFileTest, SaysWhatIsWrong) {
  EXPECT_TRUE(absl::IsInvalidArgument(OutputFile::Open(directory_, false).status()));
  const absl::Status missing = OutputFile::Open(directory_ + "/no/such", false).status();
  EXPECT_NE(missing.message().find("no/"), absl::string_view::npos) << missing;
}

}  // namespace
}  // namespace sluice
