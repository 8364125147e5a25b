#include "control/recorder/drop_watch.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Optional;

TEST(DropWatchTest, SpeaksWhenThereIsNewsAndNotTooOften) {
  DropWatch watch;
  RecordingStatus recording;
  recording.uid = 1;
  recording.spec.id = "market";
  recording.spec.back_pressure = BackPressure::kDropOldest;
  const absl::Time begin = absl::UnixEpoch();
  EXPECT_EQ(watch.Look(recording, begin), std::nullopt);
  recording.ledger.dropped_policy = 1000;
  EXPECT_THAT(watch.Look(recording, begin),
              Optional(AllOf(HasSubstr("recording market"), HasSubstr("1000 bytes"),
                             HasSubstr("drop-oldest"))));
  recording.ledger.dropped_policy = 2000;
  EXPECT_EQ(watch.Look(recording, begin + absl::Seconds(9)), std::nullopt);
  EXPECT_THAT(watch.Look(recording, begin + absl::Seconds(10)), Optional(HasSubstr("2000 bytes")));
  EXPECT_EQ(watch.Look(recording, begin + absl::Seconds(60)), std::nullopt);
  // Another one has news of its own.
  recording.uid = 2;
  EXPECT_THAT(watch.Look(recording, begin + absl::Seconds(60)), Optional(HasSubstr("2000")));
}

}  // namespace
}  // namespace sluice
