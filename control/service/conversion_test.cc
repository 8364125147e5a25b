#include "control/service/conversion.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ingest/receive/socket_address.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

SocketAddress Address(const char* text) { return SocketAddress::Parse(text).value(); }

RecordingRow Stored() {
  RecordingRow row;
  row.uid = 0xABCD;
  row.id = "market";
  row.source = "tcp://0.0.0.0:9000";
  row.state = RecordingState::kStopped;
  row.created = UnixNanos{1'500'000'000};
  row.stopped = UnixNanos{2'000'000'001};
  row.stream_count = 3;
  row.payload = ByteCount{77};
  return row;
}

RecordingStatus Live() {
  RecordingStatus status;
  status.spec.id = "market";
  status.spec.address = Address("127.0.0.1:0");
  status.spec.payload_crc = false;
  status.uid = 0xABCD;
  status.created = absl::FromUnixNanos(1'500'000'000);
  status.bound = Address("127.0.0.1:9123");
  status.ledger.received = 100;
  status.ledger.written = 90;
  status.ledger.dropped_policy = 1;
  status.ledger.dropped_disk = 2;
  status.ledger.zero_copy = 60;
  status.ledger.copied = 40;
  status.ledger.packed = 5;
  status.durable = ByteCount{80};
  status.disk = ByteCount{8192};
  status.streams_open = 1;
  status.streams_opened = 4;
  status.streams_closed = 3;
  status.connections_refused = 9;
  status.connect_failures = 6;
  status.waiting = "all are held";
  status.buffer_waits = 7;
  status.write_errors = 8;
  status.durable_lag = absl::Milliseconds(1250);
  status.segment_waits.Add(absl::Microseconds(200));
  status.segment_waits.Add(absl::Milliseconds(2));
  status.segment_waits.Add(absl::Minutes(2));
  status.longest_write = absl::Milliseconds(30);
  status.loans.in_line.Add(absl::Milliseconds(1));
  status.loans.catalog.Add(absl::Milliseconds(5));
  status.loans.disk.Add(absl::Milliseconds(9));
  return status;
}

TEST(ConversionTest, StatusCodesAreGoogles) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  const grpc::Status status = ToGrpcStatus(absl::NotFoundError("no such thing"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no such thing");
  EXPECT_EQ(ToGrpcStatus(absl::DataLossError("")).error_code(), grpc::StatusCode::DATA_LOSS);
}

TEST(ConversionTest, Timestamps) {
  EXPECT_EQ(ToTimestamp(UnixNanos{1'500'000'001}).seconds(), 1);
  EXPECT_EQ(ToTimestamp(UnixNanos{1'500'000'001}).nanos(), 500'000'001);
  EXPECT_EQ(ToTimestamp(UnixNanos{-1}).seconds(), -1);
  EXPECT_EQ(ToTimestamp(UnixNanos{-1}).nanos(), 999'999'999);
  EXPECT_EQ(ToTimestamp(absl::FromUnixSeconds(5)).seconds(), 5);
}

TEST(ConversionTest, Durations) {
  const google::protobuf::Duration negative = ToProtoDuration(absl::Milliseconds(-1500));
  EXPECT_EQ(negative.seconds(), -1);
  EXPECT_EQ(negative.nanos(), -500'000'000);
  for (const absl::Duration duration :
       {absl::ZeroDuration(), absl::Nanoseconds(1), absl::Milliseconds(-1500), absl::Hours(50)}) {
    EXPECT_EQ(FromProtoDuration("d", ToProtoDuration(duration)).value(), duration);
  }
}

TEST(ConversionTest, RefusesInvalidDurations) {
  const auto refuses = [](int64_t seconds, int32_t nanos) {
    google::protobuf::Duration duration;
    duration.set_seconds(seconds);
    duration.set_nanos(nanos);
    const absl::Status status = FromProtoDuration("drain_limit", duration).status();
    return status.code() == absl::StatusCode::kInvalidArgument &&
           status.message() == "drain_limit is not a valid duration";
  };
  EXPECT_TRUE(refuses(1, -1));
  EXPECT_TRUE(refuses(-1, 1));
  EXPECT_TRUE(refuses(0, 1'000'000'000));
  EXPECT_TRUE(refuses(0, std::numeric_limits<int32_t>::min()));
  EXPECT_TRUE(refuses(std::numeric_limits<int64_t>::min(), 0));
  EXPECT_TRUE(refuses(315'576'000'001, 0));
}

TEST(ConversionTest, ARecordingOfAnEarlierRun) {
  const v1::Recording recording = ToProto(KnownRecording{Stored(), {}});
  EXPECT_EQ(recording.name(), "recordings/market");
  EXPECT_EQ(recording.uid(), "000000000000abcd");
  EXPECT_EQ(recording.tcp_listen().address(), "0.0.0.0:9000");
  EXPECT_EQ(recording.state(), v1::Recording::STOPPED);
  EXPECT_EQ(recording.create_time().seconds(), 1);
  EXPECT_EQ(recording.stop_time().seconds(), 2);
  EXPECT_EQ(recording.stored_streams(), 3);
  EXPECT_EQ(recording.stored_bytes(), 77);
  EXPECT_FALSE(recording.has_payload_crc());
  EXPECT_FALSE(recording.has_sync_interval());
  EXPECT_EQ(recording.back_pressure(), v1::Recording::BACK_PRESSURE_UNSPECIFIED);
  EXPECT_FALSE(recording.has_figures());
  EXPECT_EQ(recording.bound_address(), "");
}

TEST(ConversionTest, AConnectingRecordingOfAnEarlierRun) {
  RecordingRow row = Stored();
  row.source = "tcp-connect://10.0.0.1:9000";
  row.state = RecordingState::kFailed;
  row.failure = "the disk is gone";
  const v1::Recording recording = ToProto(KnownRecording{row, {}});
  EXPECT_EQ(recording.tcp_connect().address(), "10.0.0.1:9000");
  EXPECT_EQ(recording.state(), v1::Recording::FAILED);
  EXPECT_EQ(recording.failure(), "the disk is gone");
}

TEST(ConversionTest, ALiveRecording) {
  const v1::Recording recording = ToProto(KnownRecording{Stored(), Live()});
  EXPECT_EQ(recording.state(), v1::Recording::RECORDING);
  EXPECT_FALSE(recording.has_stop_time()) << "it goes on";
  EXPECT_EQ(recording.create_time().nanos(), 500'000'000);
  EXPECT_EQ(recording.tcp_listen().address(), "127.0.0.1:0");
  EXPECT_EQ(recording.bound_address(), "127.0.0.1:9123");
  EXPECT_FALSE(recording.payload_crc());
  EXPECT_EQ(recording.flush_interval().nanos(), 500'000'000);
  EXPECT_EQ(recording.sync_interval().seconds(), 1);
  EXPECT_EQ(recording.back_pressure(), v1::Recording::LOSSLESS);
  EXPECT_FALSE(recording.has_lag_limit());
  EXPECT_EQ(recording.stored_bytes(), 77);

  const v1::RecordingFigures& figures = recording.figures();
  EXPECT_EQ(figures.bytes_received(), 100);
  EXPECT_EQ(figures.bytes_written(), 90);
  EXPECT_EQ(figures.bytes_dropped(), 3);
  EXPECT_EQ(figures.dropped().policy(), 1);
  EXPECT_EQ(figures.dropped().disk(), 2);
  EXPECT_EQ(figures.bytes_zero_copy(), 60);
  EXPECT_EQ(figures.bytes_copied(), 40);
  EXPECT_EQ(figures.bytes_packed(), 5);
  EXPECT_EQ(figures.bytes_durable(), 80);
  EXPECT_EQ(figures.bytes_disk(), 8192);
  EXPECT_EQ(figures.streams_open(), 1);
  EXPECT_EQ(figures.streams_opened(), 4);
  EXPECT_EQ(figures.streams_closed(), 3);
  EXPECT_EQ(figures.connections_refused(), 9);
  EXPECT_EQ(figures.connect_failures(), 6);
  EXPECT_EQ(recording.waiting(), "all are held");
  EXPECT_EQ(figures.buffer_waits(), 7);
  EXPECT_EQ(figures.write_errors(), 8);
  EXPECT_EQ(figures.durable_lag().seconds(), 1);
  EXPECT_EQ(figures.durable_lag().nanos(), 250'000'000);
  const v1::RecordingFigures::SegmentWaits& waits = figures.segment_waits();
  EXPECT_EQ(waits.count(), 3);
  EXPECT_EQ(waits.total().seconds(), 120);
  EXPECT_EQ(waits.total().nanos(), 2'200'000);
  EXPECT_EQ(waits.longest().seconds(), 120);
  ASSERT_EQ(waits.classes_size(), 16);
  EXPECT_EQ(waits.classes(0), 1);
  EXPECT_EQ(waits.classes(1), 0) << "2 ms are not shorter than 2 ms";
  EXPECT_EQ(waits.classes(2), 1);
  EXPECT_EQ(waits.classes(15), 1);
  EXPECT_EQ(figures.longest_write().nanos(), 30'000'000);
  EXPECT_EQ(figures.segment_loans().in_line().longest().nanos(), 1'000'000);
  EXPECT_EQ(figures.segment_loans().catalog().longest().nanos(), 5'000'000);
  EXPECT_EQ(figures.segment_loans().catalog().classes(3), 1);
  EXPECT_EQ(figures.segment_loans().disk().longest().nanos(), 9'000'000);
}

TEST(ConversionTest, ARecordingThatHasStoppedInThisRun) {
  RecordingStatus live = Live();
  live.state = RecordingState::kStopped;
  const v1::Recording recording = ToProto(KnownRecording{Stored(), live});
  EXPECT_EQ(recording.state(), v1::Recording::STOPPED);
  EXPECT_EQ(recording.stop_time().seconds(), 2);
  EXPECT_EQ(recording.bound_address(), "") << "it does not listen any more";
  EXPECT_EQ(recording.figures().bytes_received(), 100) << "the final figures stay";
}

TEST(ConversionTest, AStream) {
  StreamRow row;
  row.id = MakeStreamId({3, 0, 17});
  row.recording = "market";
  row.peer = Address("10.0.0.1:4000");
  row.local = Address("[::1]:9000");
  row.opened = UnixNanos{1'000'000'000};
  row.last_time = UnixNanos{2'000'000'000};
  row.begin = StreamOffset{10};
  row.durable = StreamOffset{30};
  row.open = false;
  row.reason = CloseReason::kEndOfStream;
  const v1::Stream stream = ToProto(row);
  EXPECT_EQ(stream.name(), "recordings/market/streams/3-0-17");
  EXPECT_EQ(stream.peer_address(), "10.0.0.1:4000");
  EXPECT_EQ(stream.local_address(), "[::1]:9000");
  EXPECT_EQ(stream.open_time().seconds(), 1);
  EXPECT_EQ(stream.last_time().seconds(), 2);
  EXPECT_EQ(stream.begin_offset(), 10);
  EXPECT_EQ(stream.durable_bytes(), 30);
  EXPECT_EQ(stream.state(), v1::Stream::CLOSED);
  EXPECT_EQ(stream.close_reason(), v1::Stream::END_OF_STREAM);
}

class ToSpecTest : public ::testing::Test {
 protected:
  ToSpecTest() {
    request_.set_recording_id("market");
    request_.mutable_recording()->mutable_tcp_listen()->set_address("127.0.0.1:0");
  }
  std::string Refusal() const {
    const absl::Status status = ToSpec(request_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  }
  v1::CreateRecordingRequest request_;
};

TEST_F(ToSpecTest, FillsInDefaults) {
  const RecordingSpec spec = ToSpec(request_).value();
  EXPECT_EQ(spec.id, "market");
  EXPECT_EQ(spec.source, SourceKind::kTcpListen);
  EXPECT_EQ(spec.address, Address("127.0.0.1:0"));
  EXPECT_TRUE(spec.payload_crc);
  EXPECT_EQ(spec.flush_interval, absl::Milliseconds(500));
  EXPECT_EQ(spec.sync_interval, absl::Seconds(1));
}

TEST_F(ToSpecTest, TakesWhatIsAskedFor) {
  request_.mutable_recording()->mutable_tcp_connect()->set_address("127.0.0.1:7");
  request_.mutable_recording()->set_payload_crc(false);
  request_.mutable_recording()->mutable_flush_interval()->set_nanos(1'000'000);
  request_.mutable_recording()->mutable_sync_interval()->set_seconds(3);
  const RecordingSpec spec = ToSpec(request_).value();
  EXPECT_EQ(spec.source, SourceKind::kTcpConnect);
  EXPECT_FALSE(spec.payload_crc);
  EXPECT_EQ(spec.flush_interval, absl::Milliseconds(1));
  EXPECT_EQ(spec.sync_interval, absl::Seconds(3));
}

TEST_F(ToSpecTest, BackPressure) {
  EXPECT_EQ(ToSpec(request_)->back_pressure, BackPressure::kLossless);
  v1::Recording& wanted = *request_.mutable_recording();
  wanted.mutable_lag_limit()->set_seconds(2);
  EXPECT_THAT(Refusal(), HasSubstr("recording.lag_limit is for recordings that drop bytes"));
  for (const auto& [from, to] :
       {std::pair(v1::Recording::DROP_NEWEST, BackPressure::kDropNewest),
        std::pair(v1::Recording::DROP_OLDEST, BackPressure::kDropOldest)}) {
    wanted.set_back_pressure(from);
    const RecordingSpec spec = ToSpec(request_).value();
    EXPECT_EQ(spec.back_pressure, to);
    EXPECT_EQ(spec.lag_limit, absl::Seconds(2));
    RecordingStatus live = Live();
    live.spec = spec;
    const v1::Recording back = ToProto(KnownRecording{Stored(), live});
    EXPECT_EQ(back.back_pressure(), from);
    EXPECT_EQ(back.lag_limit().seconds(), 2);
  }
  wanted.mutable_lag_limit()->set_seconds(0);
  EXPECT_THAT(Refusal(), HasSubstr("recording.lag_limit is 0, but must be between"));
  wanted.clear_lag_limit();
  EXPECT_EQ(ToSpec(request_)->lag_limit, absl::Seconds(1));
  wanted.set_back_pressure(static_cast<v1::Recording::BackPressure>(9));
  EXPECT_THAT(Refusal(), HasSubstr("recording.back_pressure is 9, which"));
}

TEST_F(ToSpecTest, RefusesABadId) {
  request_.set_recording_id("");
  EXPECT_THAT(Refusal(), HasSubstr("a recording needs an id"));
  request_.set_recording_id("A");
  EXPECT_THAT(Refusal(), HasSubstr("must begin with a lower-case letter"));
}

TEST_F(ToSpecTest, RefusesABadSource) {
  request_.mutable_recording()->clear_source();
  EXPECT_THAT(Refusal(), HasSubstr("recording.source is missing"));
  request_.clear_recording();
  EXPECT_THAT(Refusal(), HasSubstr("recording.source is missing"));
  request_.mutable_recording()->mutable_tcp_listen();
  EXPECT_THAT(Refusal(), HasSubstr("recording.tcp_listen.address is missing"));
  request_.mutable_recording()->mutable_tcp_listen()->set_address("nonsense");
  EXPECT_THAT(Refusal(), HasSubstr("recording.tcp_listen.address: "));
  request_.mutable_recording()->mutable_tcp_connect()->set_address("127.0.0.1:0");
  EXPECT_THAT(Refusal(), HasSubstr("port 0 cannot be connected to"));
}

TEST_F(ToSpecTest, RefusesBadIntervals) {
  request_.mutable_recording()->mutable_flush_interval();
  EXPECT_THAT(Refusal(), HasSubstr("recording.flush_interval is 0, but must be between"));
  request_.mutable_recording()->clear_flush_interval();
  request_.mutable_recording()->mutable_sync_interval()->set_seconds(-1);
  EXPECT_THAT(Refusal(), HasSubstr("recording.sync_interval is -1s"));
  request_.mutable_recording()->mutable_sync_interval()->set_nanos(1);
  EXPECT_THAT(Refusal(), HasSubstr("recording.sync_interval is not a valid duration"));
}

}  // namespace
}  // namespace sluice
