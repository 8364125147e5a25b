#include "control/service/nic_service.h"

#include <cerrno>
#include <memory>
#include <mutex>
#include <string>

#include "control/nic/fake_nic.h"
#include "control/service/service_fixture.h"
#include "proto/sluice/v1/retention.grpc.pb.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class NicServiceTest : public ServiceFixture {
 protected:
  NicServiceTest() {
    ApiServer::Options options;
    options.recorder = &recorder_;
    options.interface_state = archive_.directory() + "/nic";
    // Each call has a port of its own; the card behind it is one, for one call at a time.
    options.nic_port = [this]() -> absl::StatusOr<std::shared_ptr<NicPort>> {
      const auto lock = std::make_shared<std::unique_lock<std::mutex>>(mutex_);
      return std::shared_ptr<NicPort>(lock, &nic_);
    };
    Serve(options);
    before_ = Card();
  }

  ~NicServiceTest() override {
    server_.reset();
    const std::lock_guard lock(mutex_);  // behind the last call, as TSan sees it
  }

  // All that it holds.
  std::string Card() {
    const std::lock_guard lock(mutex_);
    return nic_.FakeNic::Dump();
  }

  std::unique_ptr<v1::NicService::Stub> Stub() { return v1::NicService::NewStub(channel_); }
  grpc::Status Get(const std::string& name, v1::NetworkInterface* to) {
    grpc::ClientContext context;
    v1::GetNetworkInterfaceRequest request;
    request.set_name(name);
    return Stub()->GetNetworkInterface(&context, request, to);
  }
  static v1::InterfaceSettings Settings() {
    v1::InterfaceSettings settings;
    settings.add_zero_copy_queues(3);
    settings.add_rules("tcp dst-port 9000");
    return settings;
  }
  grpc::Status Plan(const v1::InterfaceSettings& settings, v1::NicPlan* plan) {
    grpc::ClientContext context;
    v1::PlanNetworkInterfaceRequest request;
    request.set_name("interfaces/eth1");
    *request.mutable_settings() = settings;
    return Stub()->PlanNetworkInterface(&context, request, plan);
  }
  grpc::Status Apply(const v1::InterfaceSettings& settings, v1::NicPlan* done) {
    grpc::ClientContext context;
    v1::ApplyNetworkInterfaceRequest request;
    request.set_name("interfaces/eth1");
    *request.mutable_settings() = settings;
    return Stub()->ApplyNetworkInterface(&context, request, done);
  }
  grpc::Status Revert(v1::NicPlan* done) {
    grpc::ClientContext context;
    v1::RevertNetworkInterfaceRequest request;
    request.set_name("interfaces/eth1");
    return Stub()->RevertNetworkInterface(&context, request, done);
  }

  std::mutex mutex_;  // gRPC's threads and ours
  FakeNic nic_{FakeNic::Bnxt()};
  std::string before_;
};

TEST_F(NicServiceTest, ThereAndBack) {
  v1::NicPlan plan;
  ASSERT_THAT(Plan(Settings(), &plan), Succeeds());
  EXPECT_THAT(plan.steps(), Not(IsEmpty()));
  EXPECT_EQ(Card(), before_);

  v1::NicPlan done;
  ASSERT_THAT(Apply(Settings(), &done), Succeeds());
  EXPECT_EQ(done.SerializeAsString(), plan.SerializeAsString());
  v1::NetworkInterface shown;
  ASSERT_THAT(Get("interfaces/eth1", &shown), Succeeds());
  EXPECT_EQ(shown.name(), "interfaces/eth1");
  EXPECT_EQ(shown.driver(), "bnxt_en");
  EXPECT_EQ(shown.header_split(), v1::NetworkInterface::ON);
  EXPECT_THAT(shown.flow_rules(), SizeIs(2));  // IPv4 and IPv6
  EXPECT_TRUE(shown.managed());
  EXPECT_THAT(shown.drift(), IsEmpty());
  EXPECT_THAT(Plan(Settings(), &plan), Succeeds());
  EXPECT_THAT(plan.steps(), IsEmpty());

  ASSERT_THAT(Revert(&done), Succeeds());
  EXPECT_EQ(Card(), before_);
  const grpc::Status again = Revert(&done);
  EXPECT_EQ(again.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(again.error_message(), HasSubstr("there is nothing to put back"));
}

TEST_F(NicServiceTest, WhoChangedWhatIsRemembered) {
  v1::NicPlan done;
  ASSERT_THAT(Apply(Settings(), &done), Succeeds());
  ASSERT_THAT(Revert(&done), Succeeds());
  grpc::ClientContext context;
  v1::ListAuditEventsResponse response;
  ASSERT_THAT(v1::RetentionService::NewStub(channel_)->ListAuditEvents(&context, {}, &response),
              Succeeds());
  ASSERT_GE(response.events_size(), 2);
  const v1::AuditEvent& set = response.events(response.events_size() - 2);
  EXPECT_EQ(set.action(), "interface set");
  EXPECT_EQ(set.object(), "interfaces/eth1");
  EXPECT_THAT(set.actor(), HasSubstr("user:"));
  EXPECT_THAT(set.detail(), HasSubstr("ethtool -N eth1 flow-type tcp4 dst-port 9000"));
  EXPECT_EQ(response.events(response.events_size() - 1).action(), "interface put back");
}

TEST_F(NicServiceTest, ListsWhatThereIs) {
  grpc::ClientContext context;
  v1::ListNetworkInterfacesResponse response;
  ASSERT_THAT(Stub()->ListNetworkInterfaces(&context, {}, &response), Succeeds());
  ASSERT_THAT(response.network_interfaces(), SizeIs(1));
  EXPECT_EQ(response.network_interfaces(0).name(), "interfaces/eth1");
  EXPECT_FALSE(response.network_interfaces(0).managed());
}

TEST_F(NicServiceTest, AStepThatFailsLeavesNothing) {
  {
    const std::lock_guard lock(mutex_);
    nic_.FailChange(1, EBUSY);
  }
  v1::NicPlan done;
  const grpc::Status status = Apply(Settings(), &done);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.error_message(), HasSubstr("eth1 was put back as it was"));
  EXPECT_EQ(Card(), before_);
}

TEST_F(NicServiceTest, BadRequests) {
  v1::NetworkInterface shown;
  for (const char* name : {"", "eth1", "interfaces/", "interfaces/a/b", "interfaces/..",
                           "interfaces/longer-than-any-is"}) {
    const grpc::Status status = Get(name, &shown);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << name;
    EXPECT_THAT(status.error_message(), HasSubstr("names no interface")) << name;
  }
  EXPECT_EQ(Get("interfaces/eth2", &shown).error_code(), grpc::StatusCode::NOT_FOUND);

  const auto refused = [&](const v1::InterfaceSettings& settings) {
    v1::NicPlan plan;
    const grpc::Status planned = Plan(settings, &plan);
    const grpc::Status applied = Apply(settings, &plan);
    EXPECT_EQ(planned.error_code(), applied.error_code());
    EXPECT_EQ(planned.error_message(), applied.error_message());
    return Describe(applied);
  };
  v1::InterfaceSettings settings;
  settings.add_zero_copy_queues(-1);
  EXPECT_THAT(refused(settings), HasSubstr("3: settings.zero_copy_queues: queues are counted"));
  settings.Clear();
  settings.add_rules("tcp");
  EXPECT_THAT(refused(settings), HasSubstr("3: rule \"tcp\": "));
  settings.Clear();
  settings.set_ring_size(-5);
  EXPECT_THAT(refused(settings), HasSubstr("must not be negative"));
  settings.Clear();
  settings.set_receive_queues(1000);
  EXPECT_THAT(refused(settings), HasSubstr("9: eth1: it can have "));
  EXPECT_EQ(Card(), before_);

  grpc::ClientContext context;
  v1::ApplyNetworkInterfaceRequest request;
  request.set_name("interfaces/eth1");
  v1::NicPlan plan;
  EXPECT_THAT(Describe(Stub()->ApplyNetworkInterface(&context, request, &plan)),
              HasSubstr("3: settings are missing"));
}

}  // namespace
}  // namespace sluice
