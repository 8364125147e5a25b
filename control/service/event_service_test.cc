#include "control/service/event_service.h"

#include <unistd.h>

#include <chrono>
#include <future>
#include <set>
#include <string>
#include <vector>

#include "control/service/event_conversion.h"
#include "control/service/service_fixture.h"
#include "proto/sluice/v1/retention.grpc.pb.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class EventServiceTest : public ServiceFixture {
 protected:
  EventServiceTest() { first_ = FirstAuditId(archive_.archive().meta().epoch); }

  // Of the test's own, which the archive takes for what they say they are.
  void Happen(const std::string& action, int times = 1) {
    for (int i = 0; i < times; ++i) archive_.keeper().Audit("test", action, "holds/a", "why");
  }

  struct Watch {
    grpc::ClientContext context;
    std::unique_ptr<v1::EventService::Stub> stub;
    std::unique_ptr<grpc::ClientReader<v1::Event>> reader;
  };
  std::unique_ptr<Watch> Start(const v1::WatchEventsRequest& request,
                               std::shared_ptr<grpc::Channel> channel = nullptr) {
    auto watch = std::make_unique<Watch>();
    watch->stub = v1::EventService::NewStub(channel ? channel : channel_);
    watch->reader = watch->stub->WatchEvents(&watch->context, request);
    return watch;
  }
  // Of a call that ends by itself.
  std::vector<v1::Event> All(const v1::WatchEventsRequest& request,
                             grpc::Status* status = nullptr) {
    const std::unique_ptr<Watch> watch = Start(request);
    std::vector<v1::Event> events;
    v1::Event event;
    while (watch->reader->Read(&event)) events.push_back(event);
    const grpc::Status result = watch->reader->Finish();
    if (status != nullptr) {
      *status = result;
    } else {
      EXPECT_THAT(result, Succeeds());
    }
    return events;
  }
  static v1::WatchEventsRequest After(int64_t id, bool follow = false) {
    v1::WatchEventsRequest request;
    request.set_after_event_id(id);
    request.set_follow(follow);
    return request;
  }

  int64_t first_ = 0;  // no event of the test has a lower id
};

TEST_F(EventServiceTest, EveryKindHasAnActionOfItsOwn) {
  std::set<std::string> actions;
  for (int kind = 1; kind <= v1::Event::Kind_MAX; ++kind) {
    const auto action = std::string(ActionOf(static_cast<v1::Event::Kind>(kind)));
    EXPECT_FALSE(action.empty()) << v1::Event::Kind_Name(static_cast<v1::Event::Kind>(kind));
    EXPECT_EQ(KindOf(action), kind);
    EXPECT_TRUE(actions.insert(action).second) << action;
  }
  EXPECT_EQ(KindOf("never heard of"), v1::Event::KIND_UNSPECIFIED);
}

TEST_F(EventServiceTest, WhatHappenedIsToldInOrderAndFromAnyId) {
  Happen("hold created");
  Happen("hold refused", 3);
  Happen("hold released");
  const std::vector<v1::Event> all = All(After(first_));
  ASSERT_THAT(all, SizeIs(5));
  EXPECT_EQ(all[0].kind(), v1::Event::HOLD_CREATED);
  EXPECT_EQ(all[0].actor(), "test");
  EXPECT_EQ(all[0].object(), "holds/a");
  EXPECT_EQ(all[0].detail(), "why");
  EXPECT_FALSE(all[0].has_removed());
  for (size_t i = 0; i < all.size(); ++i) {
    const std::vector<v1::Event> rest = All(After(all[i].id()));
    ASSERT_THAT(rest, SizeIs(all.size() - i - 1));
    if (!rest.empty()) {
      EXPECT_EQ(rest[0].id(), all[i + 1].id());
    }
  }
}

TEST_F(EventServiceTest, KindsAndTimesAreChosen) {
  Happen("hold created");
  Happen("hold released");
  v1::WatchEventsRequest request = After(first_);
  request.add_kinds(v1::Event::HOLD_RELEASED);
  ASSERT_THAT(All(request), SizeIs(1));
  EXPECT_EQ(All(request)[0].kind(), v1::Event::HOLD_RELEASED);
  request.mutable_from_time()->set_seconds(8'000'000'000);
  EXPECT_THAT(All(request), IsEmpty());
}

TEST_F(EventServiceTest, AWatcherIsTold) {
  Happen("hold created");
  v1::WatchEventsRequest request;
  request.set_from_now(true);
  request.set_follow(true);
  const auto watch = Start(request);
  watch->reader->WaitForInitialMetadata();  // it watches
  Happen("hold released", 2);
  v1::Event event, next;
  ASSERT_TRUE(watch->reader->Read(&event));
  ASSERT_TRUE(watch->reader->Read(&next));
  EXPECT_EQ(event.kind(), v1::Event::HOLD_RELEASED);
  EXPECT_GT(next.id(), event.id());
  watch->context.TryCancel();
  EXPECT_FALSE(watch->reader->Read(&event));
  EXPECT_THAT(watch->reader->Finish(), Fails(grpc::CANCELLED, HasSubstr("")));
}

TEST_F(EventServiceTest, AWatcherEndsAtItsDeadline) {
  v1::WatchEventsRequest request = After(first_, /*follow=*/true);
  Watch watch;
  watch.context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  watch.stub = v1::EventService::NewStub(channel_);
  watch.reader = watch.stub->WatchEvents(&watch.context, request);
  v1::Event event;
  EXPECT_FALSE(watch.reader->Read(&event));
  EXPECT_THAT(watch.reader->Finish(), Fails(grpc::DEADLINE_EXCEEDED, HasSubstr("")));
}

// The keeper never waits for it, and it misses nothing.
TEST_F(EventServiceTest, ASlowWatcherHoldsUpNobody) {
  const auto watch = Start(After(first_, /*follow=*/true), Connect(/*small_window=*/true));
  v1::Event event;
  Happen("hold refused");
  ASSERT_TRUE(watch->reader->Read(&event));  // from here on it reads nothing
  constexpr int kMany = 5000;                // more than the windows take
  Happen("hold refused", kMany);
  int64_t last = event.id();
  for (int i = 0; i < kMany; ++i) {
    ASSERT_TRUE(watch->reader->Read(&event));
    EXPECT_EQ(event.id(), last + 1);
    last = event.id();
  }
  watch->context.TryCancel();
}

TEST_F(EventServiceTest, ShutdownEndsWatchersWhenAllIsTold) {
  const auto watch = Start(After(first_, /*follow=*/true));
  watch->reader->WaitForInitialMetadata();
  Happen("hold created");
  auto shutdown = std::async(std::launch::async, [&] { server_->Shutdown(); });
  v1::Event event;
  EXPECT_TRUE(watch->reader->Read(&event));
  EXPECT_FALSE(watch->reader->Read(&event));
  EXPECT_THAT(watch->reader->Finish(), Fails(grpc::UNAVAILABLE, HasSubstr("shutting down")));
  shutdown.get();
}

TEST_F(EventServiceTest, ARemovalSaysWhatWent) {
  archive_.PutRecording("old", RecordingState::kRecording);
  const StreamId stream = archive_.Open("old");
  archive_.Append(stream, "hello");
  archive_.Close(stream);
  archive_.Seal("old");
  archive_.PutRecording("old", RecordingState::kStopped);
  ASSERT_TRUE(archive_.keeper().DeleteRecording("old", "user:alice(1000)").ok());
  v1::WatchEventsRequest request = After(first_);
  request.add_kinds(v1::Event::SEGMENT_REMOVED);
  request.add_kinds(v1::Event::RECORDING_DELETED);
  const std::vector<v1::Event> events = All(request);
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[0].kind(), v1::Event::SEGMENT_REMOVED);
  EXPECT_EQ(events[0].actor(), "user:alice(1000)");
  EXPECT_EQ(events[0].object(), "recordings/old");
  EXPECT_EQ(events[0].removed().reason(), v1::RemovedSegments::RECORDING_DELETED);
  EXPECT_EQ(events[0].removed().segments(), 1);
  EXPECT_EQ(events[0].removed().first_segment_id(), 1);
  EXPECT_EQ(events[0].removed().payload_bytes(), 5);
  EXPECT_EQ(events[0].removed().retention_class(), "retentionClasses/default");
  EXPECT_EQ(events[1].kind(), v1::Event::RECORDING_DELETED);
}

TEST_F(EventServiceTest, WhoCallsIsKnown) {
  v1::CreateHoldRequest hold;
  hold.set_hold_id("h");
  hold.mutable_hold()->set_selector("recordings/none");
  hold.mutable_hold()->set_owner("o");
  hold.mutable_hold()->set_reason("r");
  grpc::ClientContext context;
  v1::Hold created;
  EXPECT_FALSE(v1::RetentionService::NewStub(channel_)->CreateHold(&context, hold, &created).ok());
  const std::vector<v1::Event> events = All(After(first_));
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].kind(), v1::Event::HOLD_REFUSED);
  EXPECT_EQ(events[0].actor(), UserActor(getuid()));
  EXPECT_THAT(events[0].actor(), HasSubstr("user:"));
}

TEST_F(EventServiceTest, BadRequestsAreRefused) {
  grpc::Status status;
  All(After(-1), &status);
  EXPECT_THAT(status, Fails(grpc::INVALID_ARGUMENT, HasSubstr("after_event_id -1")));
  All(After(first_ + 1'000'000), &status);
  EXPECT_THAT(status, Fails(grpc::OUT_OF_RANGE, HasSubstr("newest event")));
  v1::WatchEventsRequest request = After(1);
  request.set_from_now(true);
  All(request, &status);
  EXPECT_THAT(status, Fails(grpc::INVALID_ARGUMENT, HasSubstr("not both")));
  request = After(0);
  request.add_kinds(static_cast<v1::Event::Kind>(99));
  All(request, &status);
  EXPECT_THAT(status, Fails(grpc::INVALID_ARGUMENT, HasSubstr("no kind 99")));
  request.clear_kinds();
  request.mutable_from_time()->set_nanos(-1);
  All(request, &status);
  EXPECT_THAT(status, Fails(grpc::INVALID_ARGUMENT, HasSubstr("from_time")));
}

TEST_F(EventServiceTest, TooManyWatchersAreRefused) {
  Serve({.recorder = &recorder_, .watchers_max = 1});
  const auto watch = Start(After(0, /*follow=*/true));
  watch->reader->WaitForInitialMetadata();
  grpc::Status status;
  All(After(0), &status);
  EXPECT_THAT(status, Fails(grpc::RESOURCE_EXHAUSTED, HasSubstr("try again")));
  watch->context.TryCancel();
}

TEST_F(EventServiceTest, FilesAreReadToo) {
  Happen("hold created");
  ServeFilesOnly();
  EXPECT_THAT(All(After(first_)), SizeIs(1));
}

}  // namespace
}  // namespace sluice
