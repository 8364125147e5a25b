#include "ingest/region/chunk_pool.h"

#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr RegionOffset kBegin{1 << 20};
constexpr ByteCount kChunk = KiB(64);

TEST(ChunkPoolTest, HandsOutEveryChunkOnce) {
  ChunkPool pool(kBegin, kChunk, 5);
  EXPECT_EQ(pool.count(), 5u);
  std::vector<bool> seen(5);
  for (uint32_t left = 5; left > 0; --left) {
    EXPECT_EQ(pool.free_count(), left);
    const std::optional<uint32_t> chunk = pool.Take();
    ASSERT_TRUE(chunk.has_value());
    ASSERT_LT(*chunk, 5u);
    EXPECT_FALSE(seen[*chunk]);
    seen[*chunk] = true;
  }
  EXPECT_FALSE(pool.Take().has_value());
  for (uint32_t chunk = 0; chunk < 5; ++chunk) pool.Return(chunk);
}

TEST(ChunkPoolTest, ChunksLieSideBySide) {
  ChunkPool pool(kBegin, kChunk, 3);
  EXPECT_EQ(pool.chunk_size(), kChunk);
  EXPECT_EQ(pool.Begin(0), kBegin);
  EXPECT_EQ(pool.Begin(1) - pool.Begin(0), kChunk);
  EXPECT_EQ(pool.Begin(2), kBegin + kChunk * 2);
}

// Above 4 GiB: 32 bits would not do.
TEST(ChunkPoolTest, PlacesInLargeRegions) {
  ChunkPool pool({0}, MiB(1), 6000);
  EXPECT_EQ(pool.Begin(5999).value, uint64_t{5999} << 20);
}

TEST(ChunkPoolTest, TheChunkFreedLastComesFirst) {
  ChunkPool pool(kBegin, kChunk, 4);
  uint32_t taken[4];
  for (uint32_t& chunk : taken) chunk = *pool.Take();
  for (const uint32_t chunk : {taken[2], taken[0], taken[3]}) pool.Return(chunk);
  EXPECT_EQ(pool.Take(), taken[3]);
  EXPECT_EQ(pool.Take(), taken[0]);
  EXPECT_EQ(pool.Take(), taken[2]);
  for (const uint32_t chunk : taken) pool.Return(chunk);
}

TEST(ChunkPoolTest, AChunkIsFreeOnlyAfterItsLastReference) {
  ChunkPool pool(kBegin, kChunk, 1);
  const uint32_t chunk = *pool.Take();
  std::optional<RegionLease> first(pool.Lease(chunk));
  std::optional<RegionLease> second(pool.Lease(chunk));
  pool.Return(chunk);  // the receiver's
  EXPECT_FALSE(pool.Take().has_value());
  first.reset();
  EXPECT_FALSE(pool.Take().has_value());
  RegionLease moved(*std::move(second));
  second.reset();
  EXPECT_FALSE(pool.Take().has_value());
  {
    RegionLease last(std::move(moved));
  }
  EXPECT_EQ(pool.Take(), chunk);
  pool.Return(chunk);
}

// Against a count of references kept beside it.
TEST(ChunkPoolTest, RandomUseAgreesWithAModel) {
  constexpr uint32_t kCount = 7;
  std::mt19937_64 dice(3);
  ChunkPool pool(kBegin, kChunk, kCount);
  std::vector<int> references(kCount, 0);
  std::vector<bool> filling(kCount, false);
  std::vector<std::pair<uint32_t, RegionLease>> leases;
  for (int i = 0; i < 50'000; ++i) {
    const uint32_t chunk = static_cast<uint32_t>(dice() % kCount);
    switch (dice() % 4) {
      case 0:
        if (const auto taken = pool.Take()) {
          ASSERT_EQ(references[*taken], 0) << "taken while in use";
          references[*taken] = 1;
          filling[*taken] = true;
        } else {
          for (const int count : references) ASSERT_GT(count, 0);
        }
        break;
      case 1:
        if (references[chunk] == 0) break;
        leases.emplace_back(chunk, pool.Lease(chunk));
        ++references[chunk];
        break;
      case 2:
        if (!filling[chunk]) break;
        filling[chunk] = false;
        pool.Return(chunk);
        --references[chunk];
        break;
      default:
        if (leases.empty()) break;
        const size_t pick = dice() % leases.size();
        --references[leases[pick].first];
        leases.erase(leases.begin() + static_cast<int64_t>(pick));
    }
    uint32_t free = 0;
    for (const int count : references) free += count == 0 ? 1 : 0;
    ASSERT_EQ(pool.free_count(), free);
  }
  leases.clear();
  for (uint32_t chunk = 0; chunk < kCount; ++chunk) {
    if (filling[chunk]) pool.Return(chunk);
  }
}

TEST(ChunkPoolDeathTest, OurOwnBugsDie) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        ChunkPool pool(kBegin, kChunk, 2);
        pool.Take();
      },
      "free_.size\\(\\) == references_.size\\(\\)");  // destroyed while a chunk is out
  ChunkPool pool(kBegin, kChunk, 2);
  EXPECT_DEATH(pool.Return(0), "references_.at");                                // twice
  EXPECT_DEATH({ const RegionLease lease = pool.Lease(1); }, "references_.at");  // of a free chunk
}

}  // namespace
}  // namespace sluice
