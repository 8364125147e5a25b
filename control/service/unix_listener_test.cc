#include "control/service/unix_listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

// In /tmp: paths of sockets must be short.
class UnixListenerTest : public ::testing::Test {
 protected:
  UnixListenerTest() {
    char name[] = "/tmp/unix_listener_test.XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/s";
  }
  ~UnixListenerTest() override { std::filesystem::remove_all(directory_); }

  static sockaddr_un ToAddress(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
  }
  // A connected descriptor, or -1.
  static int Connect(const std::string& path) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = ToAddress(path);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
    close(fd);
    return -1;
  }
  // What a process that was killed leaves behind.
  void LeaveStaleSocket() const {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = ToAddress(path_);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    close(fd);
    ASSERT_TRUE(std::filesystem::exists(path_));
  }
  std::unique_ptr<UnixListener> Bound() const {
    absl::StatusOr<std::unique_ptr<UnixListener>> listener = UnixListener::Bind(path_, 0600);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return listener.ok() ? *std::move(listener) : nullptr;
  }

  std::string directory_;
  std::string path_;
};

TEST_F(UnixListenerTest, IsForItsOwnerOnly) {
  const mode_t before = umask(0);
  const auto listener = Bound();
  umask(before);
  struct stat found = {};
  ASSERT_EQ(stat(path_.c_str(), &found), 0);
  EXPECT_TRUE(S_ISSOCK(found.st_mode));
  EXPECT_EQ(found.st_mode & 0777, 0600u);
}

TEST_F(UnixListenerTest, HandsOutConnections) {
  const auto listener = Bound();
  ASSERT_NE(listener, nullptr);
  listener->Serve([](int fd) {
    EXPECT_EQ(write(fd, "hello", 5), 5);
    close(fd);
  });
  for (int i = 0; i < 3; ++i) {
    const int client = Connect(path_);
    ASSERT_GE(client, 0);
    char greeting[5] = {};
    EXPECT_EQ(recv(client, greeting, sizeof(greeting), MSG_WAITALL), 5);
    EXPECT_EQ(std::string(greeting, 5), "hello");
    close(client);
  }
}

TEST_F(UnixListenerTest, RemovesItsFile) {
  {
    const auto listener = Bound();
    listener->Serve([](int fd) { close(fd); });
    EXPECT_TRUE(std::filesystem::exists(path_));
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(UnixListenerTest, LeavesAFileThatIsNotItsOwnAnyMore) {
  {
    const auto listener = Bound();
    std::filesystem::remove(path_);
    std::ofstream(path_) << "mine";
  }
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(UnixListenerTest, ReplacesAStaleSocket) {
  LeaveStaleSocket();
  const auto listener = Bound();
  const int client = Connect(path_);
  EXPECT_GE(client, 0);
  close(client);
}

TEST_F(UnixListenerTest, SparesASocketThatAnswers) {
  const auto first = Bound();
  const absl::Status second = UnixListener::Bind(path_, 0600).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.message()), HasSubstr("another process answers there"));
  const int client = Connect(path_);
  EXPECT_GE(client, 0) << "the first one still listens";
  close(client);
}

TEST_F(UnixListenerTest, SparesAFileThatIsNoSocket) {
  std::ofstream(path_) << "precious";
  const absl::Status status = UnixListener::Bind(path_, 0600).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is not a socket"));
  EXPECT_EQ(std::filesystem::file_size(path_), 8u);
}

TEST_F(UnixListenerTest, SaysThatTheDirectoryIsMissing) {
  const absl::Status status = UnixListener::Bind(directory_ + "/none/s", 0600).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the directory " + directory_ + "/none does not exist"));
}

TEST_F(UnixListenerTest, SaysThatThePathIsTooLong) {
  const std::string longest = directory_ + "/" + std::string(107 - directory_.size() - 1, 'x');
  EXPECT_TRUE(UnixListener::Bind(longest, 0600).ok());
  const absl::Status status = UnixListener::Bind(longest + "x", 0600).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("has 108 bytes"));
  EXPECT_EQ(UnixListener::Bind("", 0600).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice
