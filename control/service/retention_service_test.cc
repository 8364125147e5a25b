#include "control/service/retention_service.h"

#include "control/service/service_fixture.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Four segments of 1 MiB; the stopped recording "old" has one, and an empty one that is open.
class RetentionServiceTest : public ServiceFixture {
 protected:
  RetentionServiceTest() {
    archive_.PutRecording("old", RecordingState::kStopped);
    stream_ = archive_.Open("old");
    archive_.Append(stream_, "hello");
    archive_.Close(stream_);
    archive_.Seal("old");
  }

  std::unique_ptr<v1::RetentionService::Stub> Stub() {
    return v1::RetentionService::NewStub(channel_);
  }
  static v1::CreateHoldRequest Request() {
    v1::CreateHoldRequest request;
    request.set_hold_id("case-17");
    request.mutable_hold()->set_selector("recordings/old");
    request.mutable_hold()->set_owner("alice");
    request.mutable_hold()->set_reason("asked for");
    return request;
  }
  grpc::Status Create(const v1::CreateHoldRequest& request, v1::Hold* hold) {
    grpc::ClientContext context;
    return Stub()->CreateHold(&context, request, hold);
  }
  grpc::Status Create(const v1::CreateHoldRequest& request) {
    v1::Hold hold;
    return Create(request, &hold);
  }
  grpc::Status Get(const std::string& name, v1::Hold* hold) {
    grpc::ClientContext context;
    v1::GetHoldRequest request;
    request.set_name(name);
    return Stub()->GetHold(&context, request, hold);
  }
  v1::ListHoldsResponse List() {
    grpc::ClientContext context;
    v1::ListHoldsResponse response;
    EXPECT_THAT(Stub()->ListHolds(&context, {}, &response), Succeeds());
    return response;
  }
  grpc::Status Release(const std::string& name) {
    grpc::ClientContext context;
    v1::ReleaseHoldRequest request;
    request.set_name(name);
    v1::Hold hold;
    return Stub()->ReleaseHold(&context, request, &hold);
  }
  v1::RetentionPlan Plan() {
    grpc::ClientContext context;
    v1::RetentionPlan plan;
    EXPECT_THAT(Stub()->PlanRetention(&context, {}, &plan), Succeeds());
    return plan;
  }

  StreamId stream_{};
};

TEST_F(RetentionServiceTest, AHoldComesAndGoes) {
  v1::Hold hold;
  ASSERT_THAT(Create(Request(), &hold), Succeeds());
  EXPECT_EQ(hold.name(), "holds/case-17");
  EXPECT_EQ(hold.selector(), "recordings/old");
  EXPECT_EQ(hold.owner(), "alice");
  EXPECT_EQ(hold.reason(), "asked for");
  EXPECT_EQ(hold.held_segments(), 1);
  EXPECT_EQ(hold.held_bytes(), 1 << 20);
  EXPECT_EQ(hold.budget_bytes(), 1 << 20);
  EXPECT_FALSE(hold.has_until_time());
  EXPECT_THAT(Create(Request()), Fails(grpc::ALREADY_EXISTS, HasSubstr("case-17")));
  v1::Hold again;
  ASSERT_THAT(Get("holds/case-17", &again), Succeeds());
  EXPECT_EQ(again.SerializeAsString(), hold.SerializeAsString());
  EXPECT_THAT(List().holds(), SizeIs(1));
  EXPECT_THAT(Release("holds/case-17"), Succeeds());
  EXPECT_THAT(List().holds(), IsEmpty());
  EXPECT_THAT(Release("holds/case-17"), Fails(grpc::NOT_FOUND, HasSubstr("case-17")));
  EXPECT_THAT(Get("holds/case-17", &again), Fails(grpc::NOT_FOUND, HasSubstr("case-17")));
}

TEST_F(RetentionServiceTest, MalformedHoldsAreRefused) {
  const auto refused = [&](const std::function<void(v1::CreateHoldRequest&)>& change) {
    v1::CreateHoldRequest request = Request();
    change(request);
    return Create(request);
  };
  EXPECT_THAT(refused([](auto& r) { r.set_hold_id("No"); }),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("hold_id \"No\"")));
  EXPECT_THAT(refused([](auto& r) { r.mutable_hold()->clear_selector(); }),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("selector is missing")));
  EXPECT_THAT(refused([](auto& r) { r.mutable_hold()->set_selector("streams/7"); }),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("recordings/{recording}")));
  EXPECT_THAT(refused([](auto& r) { r.mutable_hold()->clear_owner(); }),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("owner is missing")));
  EXPECT_THAT(refused([](auto& r) { r.mutable_hold()->set_reason(std::string(2001, 'x')); }),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("reason has 2001 bytes")));
  EXPECT_THAT(refused([](auto& r) { r.mutable_hold()->set_budget_bytes(-1); }),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("budget_bytes is -1")));
  EXPECT_THAT(refused([](auto& r) { r.mutable_hold()->mutable_from_time()->set_nanos(-1); }),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("from_time")));
  EXPECT_THAT(refused([](auto& r) { r.mutable_hold()->mutable_until_time()->set_seconds(5); }),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("ends in the past")));
  EXPECT_THAT(refused([](auto& r) { r.mutable_hold()->set_selector("recordings/none"); }),
              Fails(grpc::NOT_FOUND, HasSubstr("none")));
  EXPECT_THAT(refused([](auto& r) { r.mutable_hold()->mutable_to_time()->set_seconds(5); }),
              Fails(grpc::FAILED_PRECONDITION, HasSubstr("would hold nothing")));
  EXPECT_THAT(refused([](auto& r) { r.mutable_hold()->set_budget_bytes(100); }),
              Fails(grpc::RESOURCE_EXHAUSTED, HasSubstr("budget of 100 bytes")));
  v1::Hold hold;
  EXPECT_THAT(Get("case-17", &hold), Fails(grpc::INVALID_ARGUMENT, HasSubstr("holds/{hold}")));
  EXPECT_THAT(List().holds(), IsEmpty());
}

TEST_F(RetentionServiceTest, ThePlanSaysWhatThereIs) {
  ASSERT_THAT(Create(Request()), Succeeds());
  const v1::RetentionPlan plan = Plan();
  EXPECT_EQ(plan.segments(), 4);
  EXPECT_EQ(plan.segments_free(), 2);
  EXPECT_EQ(plan.segments_open(), 1);
  EXPECT_EQ(plan.segments_held(), 1);
  EXPECT_EQ(plan.segment_bytes(), 1 << 20);
  for (const v1::PlannedRemoval& removal : plan.removals()) EXPECT_NE(removal.segment_id(), 1);
  EXPECT_FALSE(plan.has_exhaust_time());
  ASSERT_THAT(plan.classes(), SizeIs(1));
  EXPECT_EQ(plan.classes(0).name(), "retentionClasses/default");
  EXPECT_EQ(plan.classes(0).used_bytes(), 2 << 20);
  EXPECT_EQ(plan.classes(0).held_bytes(), 1 << 20);
}

TEST_F(RetentionServiceTest, WhatIsDueIsRemovedAndAudited) {
  RetentionClass rule;
  rule.max_age = absl::Seconds(1);
  ASSERT_TRUE(archive_.keeper().SetRetentionClasses({rule}, "configuration").ok());
  grpc::ClientContext context;
  v1::ApplyRetentionResponse applied;
  ASSERT_THAT(Stub()->ApplyRetention(&context, {}, &applied), Succeeds());
  ASSERT_THAT(applied.removals(), SizeIs(1));
  EXPECT_EQ(applied.removals(0).rule(), v1::AGE);
  EXPECT_EQ(applied.removals(0).recording(), "recordings/old");
  EXPECT_EQ(applied.removals(0).payload_bytes(), 5);

  std::vector<std::string> actions;
  v1::ListAuditEventsRequest request;
  request.set_page_size(1);
  do {
    grpc::ClientContext page;
    v1::ListAuditEventsResponse response;
    ASSERT_THAT(Stub()->ListAuditEvents(&page, request, &response), Succeeds());
    for (const v1::AuditEvent& event : response.events()) actions.push_back(event.action());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(actions, ::testing::ElementsAre("recording stopped", "class defined", "removed",
                                              "retention applied"));
  request.set_page_token("nonsense");
  grpc::ClientContext page;
  v1::ListAuditEventsResponse response;
  EXPECT_THAT(Stub()->ListAuditEvents(&page, request, &response),
              Fails(grpc::INVALID_ARGUMENT, HasSubstr("page_token")));
}

TEST_F(RetentionServiceTest, WithoutARecorderItOnlyReads) {
  ASSERT_THAT(Create(Request()), Succeeds());
  ServeFilesOnly();
  EXPECT_THAT(List().holds(), SizeIs(1));
  EXPECT_EQ(Plan().segments_held(), 1);
  v1::CreateHoldRequest request = Request();
  request.set_hold_id("other");
  EXPECT_THAT(Create(request), Fails(grpc::FAILED_PRECONDITION, HasSubstr("no daemon")));
  EXPECT_THAT(Release("holds/case-17"), Fails(grpc::FAILED_PRECONDITION, HasSubstr("no daemon")));
}

}  // namespace
}  // namespace sluice
