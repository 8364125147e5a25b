// An archive to be damaged, and what of it can still be had.
#ifndef TESTS_E2E_THREE_STREAMS_H_
#define TESTS_E2E_THREE_STREAMS_H_

#include <cstdint>
#include <fstream>
#include <string>

#include "absl/strings/str_format.h"
#include "gtest/gtest.h"
#include "tests/e2e/e2e_test.h"
#include "tests/e2e/exported.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/recorder.h"

namespace sluice {

// A segment's file.
inline std::string SegmentFile(const std::string& archive, int slot) {
  return absl::StrFormat("%s/segments/%06d.seg", archive, slot);
}

// Turns each byte of [at, at + bytes) in the file into another one.
inline void Flip(const std::string& path, uint64_t at, size_t bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  std::string text(bytes, '\0');
  file.seekg(static_cast<std::streamoff>(at));
  ASSERT_TRUE(file.read(text.data(), static_cast<std::streamsize>(bytes))) << path;
  for (char& c : text) c = static_cast<char>(~c);
  file.seekp(static_cast<std::streamoff>(at));
  ASSERT_TRUE(file.write(text.data(), static_cast<std::streamsize>(bytes))) << path;
}

// `sluice WHAT --output json`, as it prints it.
inline std::string ListAsJson(const std::string& what, const std::string& archive) {
  const Outcome outcome = RunSluice({what, "--archive", archive, "--output", "json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.out;
}

// Three streams, one after the other, each over several segments of 1 MiB; nobody records any more.
class ThreeStreamsTest : public E2eTest {
 protected:
  static constexpr uint64_t kBytes = (uint64_t{3} << 20) + 11;  // of each
  static constexpr uint64_t kStreams = 3;

  void SetUp() override {
    Recorder recorder(archive(), {"--capacity", "16MiB", "--segment-size", "1MiB"});
    for (uint64_t number = 1; number <= kStreams; ++number) Record(recorder, number);
    recorder.Stop();
    before_ = ListStreams();
    ASSERT_EQ(Verify(archive()), "");
  }
  // One more of them.
  void Record(Recorder& recorder, uint64_t number) {
    Peer peer(content(), number, recorder.port());
    EXPECT_TRUE(peer.Send(kBytes));
    peer.FinishSending();
    EXPECT_TRUE(peer.AwaitClose());
  }

  std::string Segment(int slot) const { return SegmentFile(archive(), slot); }
  std::string Catalog() const { return archive() + "/catalog.db"; }
  static std::string Id(uint64_t number) { return absl::StrFormat("1-0-%d", number); }

  std::string ListStreams() const { return ListAsJson("streams", archive()); }
  // As it was before anything was damaged.
  const std::string& before() const { return before_; }

  // "" when the whole stream can be had.
  std::string Export(uint64_t number) {
    return CompareExport(Id(number), target(), content(), {.number = number, .end = kBytes});
  }
  // How many of the streams can still be had as a whole.
  int CountWhole() {
    int whole = 0;
    for (uint64_t number = 1; number <= kStreams; ++number) whole += Export(number).empty() ? 1 : 0;
    return whole;
  }

 private:
  std::string before_;
};

}  // namespace sluice

#endif  // TESTS_E2E_THREE_STREAMS_H_
