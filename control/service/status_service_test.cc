#include "control/service/status_service.h"

#include <unistd.h>

#include "control/service/service_fixture.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class StatusServiceTest : public ServiceFixture {
 protected:
  v1::Status Get() {
    grpc::ClientContext context;
    v1::Status response;
    const grpc::Status status = v1::StatusService::NewStub(channel_)->GetStatus(
        &context, v1::GetStatusRequest(), &response);
    EXPECT_THAT(status, Succeeds());
    return response;
  }
};

TEST_F(StatusServiceTest, DescribesTheDaemon) {
  archive_.PutRecording("old", RecordingState::kStopped);
  RecordingSpec spec;
  spec.id = "market";
  spec.address = SocketAddress::Parse("127.0.0.1:9000").value();
  ASSERT_TRUE(recorder_.CreateRecording(spec, "test").ok());
  archive_.Append(archive_.Open("market"), "hello");
  recorder_.Warn("the locked-memory limit is low");

  const v1::Status status = Get();
  EXPECT_EQ(status.daemon().pid(), getpid());
  EXPECT_EQ(status.daemon().lanes(), 2);
  EXPECT_EQ(status.daemon().region_bytes(), 128 << 20);
  EXPECT_TRUE(status.daemon().region_registered());
  EXPECT_FALSE(status.daemon().region_huge_pages());
  EXPECT_EQ(status.daemon().start_time().seconds(), 1'767'225'600);
  EXPECT_THAT(status.warnings(), ElementsAre("the locked-memory limit is low"));
  EXPECT_TRUE(status.has_recovery());
  EXPECT_EQ(status.recovery().segments_sealed(), 0);

  ASSERT_THAT(status.recordings(), SizeIs(1)) << "those of this run";
  EXPECT_EQ(status.recordings(0).name(), "recordings/market");
  EXPECT_EQ(status.recordings(0).stored_bytes(), 5);
  EXPECT_TRUE(status.recordings(0).has_figures());

  EXPECT_EQ(status.archive().directory(), archive_.directory());
  EXPECT_THAT(status.archive().uuid(), SizeIs(32));
  EXPECT_EQ(status.archive().capacity_bytes(), 4 << 20);
  EXPECT_EQ(status.archive().segment_bytes(), 1 << 20);
  EXPECT_EQ(status.archive().segment_count(), 4);
  EXPECT_EQ(status.archive().segments_used(), 1);
  EXPECT_EQ(status.archive().segments_open(), 1);
  EXPECT_EQ(status.archive().stored_bytes(), 5);
  EXPECT_EQ(status.archive().epoch(), 1);
  EXPECT_GT(status.archive().geometry().write_bytes_max(), 0);
  EXPECT_EQ(status.archive().holder().pid(), getpid());
  EXPECT_EQ(status.archive().holder().purpose(), "serve");
  EXPECT_EQ(status.archive().holder().unix_socket(), "/nowhere/sluice.sock");
}

TEST_F(StatusServiceTest, DescribesFilesWithoutADaemon) {
  archive_.PutRecording("old", RecordingState::kStopped);
  archive_.Append(archive_.Open("old"), "hello");
  archive_.Abandon();
  ServeFilesOnly();
  const v1::Status status = Get();
  EXPECT_FALSE(status.has_daemon());
  EXPECT_FALSE(status.has_recovery());
  EXPECT_FALSE(status.archive().has_holder());
  EXPECT_FALSE(status.archive().has_geometry());
  EXPECT_EQ(status.archive().segments_used(), 1);
  EXPECT_EQ(status.archive().stored_bytes(), 5);
  ASSERT_THAT(status.recordings(), SizeIs(1));
  EXPECT_EQ(status.recordings(0).name(), "recordings/old");
}

TEST_F(StatusServiceTest, AnswersWithoutACatalog) {
  RecordingSpec spec;
  spec.id = "market";
  ASSERT_TRUE(recorder_.CreateRecording(spec, "test").ok());
  std::filesystem::remove(Archive::CatalogPath(archive_.directory()));
  const v1::Status status = Get();
  EXPECT_THAT(status.recordings(), SizeIs(1));
  ASSERT_THAT(status.warnings(), SizeIs(1));
  EXPECT_THAT(status.warnings(0), HasSubstr("the catalog cannot be read"));
}

}  // namespace
}  // namespace sluice
