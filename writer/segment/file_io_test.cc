#include "writer/segment/file_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace sluice {
namespace {

std::string TempFile(const char* name) { return testing::TempDir() + "/" + name; }

TEST(AlignedBufferTest, MovedFromIsEmpty) {
  AlignedBuffer from(4096);
  AlignedBuffer to = std::move(from);
  EXPECT_EQ(to.size(), 4096u);
  EXPECT_EQ(from.size(), 0u);  // NOLINT: what is left is the point
  from = std::move(to);
  EXPECT_EQ(from.size(), 4096u);
  EXPECT_EQ(to.size(), 0u);  // NOLINT
}

TEST(FileIoTest, WhatIsWrittenIsRead) {
  const std::string path = TempFile("file_io");
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600));
  AlignedBuffer out(10000);
  EXPECT_EQ(out.size(), 12288u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(out.data()) % 4096, 0u);
  std::memset(out.data(), 'x', out.size());
  ASSERT_TRUE(WriteFully(fd.get(), path, {4096}, out.span()).ok());
  AlignedBuffer in(out.size());
  ASSERT_TRUE(ReadFully(fd.get(), path, {4096}, in.span()).ok());
  EXPECT_EQ(in.span(), out.span());
}

TEST(FileIoTest, AShortFileIsDataLossAndSaysWhere) {
  const std::string path = TempFile("short");
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600));
  ASSERT_EQ(ftruncate(fd.get(), 100), 0);
  AlignedBuffer in(4096);
  const absl::Status status = ReadFully(fd.get(), path, {0}, in.span());
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find(path), absl::string_view::npos);
  EXPECT_NE(status.message().find("ends at 100"), absl::string_view::npos) << status;
}

TEST(FileIoTest, ErrorsNameTheFile) {
  const absl::Status status = FileError("open", "/data/a", ENOENT);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find("open /data/a"), absl::string_view::npos);
  EXPECT_EQ(WriteFully(-1, "/data/a", {0}, AlignedBuffer(1).span()).code(),
            FileError("", "", EBADF).code());
}

TEST(FileIoTest, ADescriptorIsClosedOnce) {
  int raw = -1;
  {
    UniqueFd first(open("/dev/null", O_RDONLY));
    raw = first.get();
    const UniqueFd second = std::move(first);
    EXPECT_EQ(second.get(), raw);
    EXPECT_NE(fcntl(raw, F_GETFD), -1);
  }
  EXPECT_EQ(fcntl(raw, F_GETFD), -1);
}

}  // namespace
}  // namespace sluice
