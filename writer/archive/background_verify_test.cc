#include "writer/archive/background_verify.h"

#include <atomic>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/archive/recovery.h"
#include "writer/archive/test_archive.h"
#include "writer/segment/test_segment.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;

constexpr size_t kBytes = 6000;

// Segments 5 and 6 in slots 2 and 3, sealed long ago.
class BackgroundVerifyTest : public testing::Test {
 protected:
  BackgroundVerifyTest() {
    auto catalog = Catalog::Open(archive_.CatalogPath(), Catalog::Mode::kReadWrite);
    Ledger ledger;
    SegmentLink link;
    for (const auto& [id, slot] : {std::pair{5, 2}, std::pair{6, 3}}) {
      TestSegment segment(archive_.Segment(id, slot), &ledger);
      const StreamId stream{static_cast<uint64_t>(id)};
      segment.Add({{stream, 0, std::string(kBytes, 'x')}},
                  {TestSegment::Open(stream), TestSegment::Close(stream, kBytes)});
      link = segment.Seal(0, link);
      segment.WriteTo(archive_.SegmentPath(slot));
    }
    EXPECT_TRUE(Recover(*archive_, **catalog, false).ok());
  }

  BackgroundVerifyOptions Options() {
    BackgroundVerifyOptions options;
    options.directory = archive_.directory();
    options.interval = absl::Hours(1);
    return options;
  }
  void Damage(uint32_t slot) {
    std::fstream file(archive_.SegmentPath(slot), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(2 * kBlockBytes + 10);
    file.put('!');
  }

  TestArchive archive_;
};

TEST_F(BackgroundVerifyTest, SaysWhatIsDamagedAndRemembersWhatIsWhole) {
  Damage(3);
  std::promise<std::pair<std::string, std::string>> damage;
  BackgroundVerifyOptions options = Options();
  options.damaged = [&](const std::string& path, const std::string& finding) {
    damage.set_value({path, finding});  // once: a second time would throw
  };
  BackgroundVerifier verifier(std::move(options));
  const auto [path, finding] = damage.get_future().get();
  verifier.Stop();
  EXPECT_EQ(path, archive_.SegmentPath(3));
  EXPECT_THAT(finding, HasSubstr("checksum"));
  EXPECT_EQ(verifier.status().segments_verified, 1u);
  EXPECT_EQ(verifier.status().segments_damaged, 1u);
  EXPECT_THAT(verifier.status().damage, ElementsAre(finding));
  EXPECT_THAT(*ReadVerified(archive_.directory()), ElementsAre(Key(5)));
}

// The segment that is due first is the one that was verified the longest ago.
TEST_F(BackgroundVerifyTest, BeginsWithTheOldest) {
  Damage(3);
  const auto row = Catalog::Open(archive_.CatalogPath(), Catalog::Mode::kReadOnly)
                       .value()
                       ->Segments()
                       .value()
                       .front();
  const UnixNanos now{absl::GetCurrentTimeNanos()};
  ASSERT_TRUE(AddVerified(archive_.directory(), {{5, StampOf(row.footer_sha256, now)}}, {}).ok());
  std::promise<void> damage;
  BackgroundVerifyOptions options = Options();
  options.damaged = [&](const std::string&, const std::string&) { damage.set_value(); };
  BackgroundVerifier verifier(std::move(options));
  damage.get_future().wait();
  verifier.Stop();
  EXPECT_EQ(verifier.status().segments_verified, 0u);  // 5 is not due
}

TEST_F(BackgroundVerifyTest, YieldsToTheRecorder) {
  Damage(3);
  std::atomic<int> asked{0};
  std::promise<void> waits;
  std::promise<void> damage;
  BackgroundVerifyOptions options = Options();
  options.must_yield = [&] {
    const int times = ++asked;
    if (times == 3) waits.set_value();
    return times <= 3;
  };
  options.damaged = [&](const std::string&, const std::string&) { damage.set_value(); };
  BackgroundVerifier verifier(std::move(options));
  waits.get_future().wait();
  EXPECT_EQ(verifier.status().segments_verified, 0u);
  damage.get_future().wait();
  verifier.Stop();
  EXPECT_EQ(verifier.status().segments_verified, 1u);
  EXPECT_FALSE(verifier.status().yielding);
}

TEST_F(BackgroundVerifyTest, StopsWhileItYields) {
  std::promise<void> waits;
  std::atomic<bool> said{false};
  BackgroundVerifyOptions options = Options();
  options.must_yield = [&] {
    if (!said.exchange(true)) waits.set_value();
    return true;
  };
  BackgroundVerifier verifier(std::move(options));
  waits.get_future().wait();
  verifier.Stop();
  EXPECT_EQ(verifier.status().segments_verified, 0u);
}

}  // namespace
}  // namespace sluice
