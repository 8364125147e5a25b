#include "control/recorder/receiver.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

std::string Refusal(const ReceiverOptions& options, uint32_t lanes) {
  const auto plan = PlanReceivers(options, lanes);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(plan.status().message());
}

TEST(PlanReceiversTest, NothingNamedIsCopying) {
  const auto plan = PlanReceivers({}, 2);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->size(), 2u);
  for (const auto& queue : *plan) EXPECT_FALSE(queue);
}

TEST(PlanReceiversTest, EachLaneHasItsQueue) {
  ReceiverOptions options;
  options.interface = "eth1";
  options.queues = {6, 7};
  options.area = MiB(8);
  const auto plan = PlanReceivers(options, 2);
  ASSERT_TRUE(plan.ok());
  for (uint32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE((*plan)[i]);
    EXPECT_EQ((*plan)[i]->interface, "eth1");
    EXPECT_EQ((*plan)[i]->queue, 6 + i);
    EXPECT_EQ((*plan)[i]->area, MiB(8));
    EXPECT_FALSE((*plan)[i]->required);  // auto falls back
  }
  options.mode = ReceiverMode::kZeroCopy;
  EXPECT_TRUE((*PlanReceivers(options, 2))[0]->required);
}

TEST(PlanReceiversTest, DeviceLessNamesNoInterface) {
  const auto plan = PlanReceivers({.mode = ReceiverMode::kDeviceLess}, 1);
  ASSERT_TRUE(plan.ok());
  ASSERT_TRUE((*plan)[0]);
  EXPECT_EQ((*plan)[0]->interface, "");
  EXPECT_TRUE((*plan)[0]->required);
}

TEST(PlanReceiversTest, ContradictionsAreRefused) {
  EXPECT_THAT(Refusal({.mode = ReceiverMode::kZeroCopy}, 1), HasSubstr("name the interface"));
  EXPECT_THAT(Refusal({.mode = ReceiverMode::kCopy, .queues = {1}}, 1), HasSubstr("uses none"));
  EXPECT_THAT(Refusal({.mode = ReceiverMode::kDeviceLess, .interface = "eth1"}, 1),
              HasSubstr("uses none"));
  EXPECT_THAT(Refusal({.queues = {1}}, 1), HasSubstr("not the interface's"));
  EXPECT_THAT(Refusal({.interface = "eth1", .queues = {1}}, 2),
              HasSubstr("2 lanes, and 1 queues are named"));
  EXPECT_THAT(Refusal({.interface = "eth1", .queues = {1, 1}}, 2), HasSubstr("cannot share"));
}

TEST(DescribeReceiverTest, SaysWhy) {
  LaneStatus lane;
  EXPECT_EQ(DescribeReceiver({}, lane).kind, ReceiverKind::kCopy);
  EXPECT_EQ(DescribeReceiver({}, lane).reason, "no NIC queue is named");
  EXPECT_EQ(DescribeReceiver({.mode = ReceiverMode::kCopy}, lane).reason, "it was asked for");
  lane.why_copying = "the driver lends no queue";
  EXPECT_EQ(DescribeReceiver({.interface = "lo"}, lane).reason, "the driver lends no queue");
  lane.queue.emplace();
  EXPECT_EQ(DescribeReceiver({}, lane).kind, ReceiverKind::kDeviceLess);
  lane.queue->interface = "eth1";
  lane.queue->queue = 7;
  lane.queue_counters.completions = 3;
  const ReceiverStatus status = DescribeReceiver({}, lane);
  EXPECT_EQ(status.kind, ReceiverKind::kZeroCopy);
  EXPECT_EQ(status.counters.completions, 3u);
  EXPECT_THAT(status.reason, HasSubstr("queue 7 of eth1"));
}

TEST(ReceiverModeTest, NamesAreReadBack) {
  for (const ReceiverKind kind :
       {ReceiverKind::kCopy, ReceiverKind::kDeviceLess, ReceiverKind::kZeroCopy}) {
    EXPECT_TRUE(ParseReceiverMode(NameOf(kind))) << NameOf(kind);
  }
  EXPECT_EQ(ParseReceiverMode("auto"), ReceiverMode::kAuto);
  EXPECT_FALSE(ParseReceiverMode("fast"));
}

}  // namespace
}  // namespace sluice
