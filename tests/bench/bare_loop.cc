// The yardstick of the benchmarks: the least that can put TCP streams on a disk.
//
//   bare_loop --port 9000 --file PATH --size 4GiB --streams 1 [--region 64MiB]
//
// One thread, one ring. Multishot receives fill 1 MiB chunks of one registered region
// through an incremental buffer ring; a full chunk is written as it stands with
// O_DIRECT, and goes back to the buffer ring when the write has completed. What
// several connections send is mixed: there is no index, no checksum and no recovery.

#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "tests/bench/command_line.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;
constexpr uint64_t kChunkBytes = uint64_t{1} << 20;
constexpr uint64_t kBlockBytes = 4096;  // What O_DIRECT takes everywhere.
constexpr int kBufferGroup = 0;
constexpr int kRegionBuffer = 0;

enum class OpKind : uint8_t { kAccept, kReceive, kWrite };

struct Options {
  uint16_t port = 0;
  const char* path = nullptr;
  uint64_t size = 0;
  int streams = 1;
  uint64_t region_bytes = uint64_t{64} << 20;
};

uint64_t RoundUp(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

class BareLoop {
 public:
  explicit BareLoop(const Options& options);
  void Run();

 private:
  void OpenRing();
  void MapRegion();
  void OpenFile();
  void Listen();

  io_uring_sqe* NewSubmission(OpKind kind, uint32_t id);
  void Accept();
  void Receive(int connection);
  void WriteChunk(uint32_t chunk);
  void ReturnChunk(uint32_t chunk);

  void Turn();
  void OnAccept(const io_uring_cqe& done);
  void OnReceive(int connection, const io_uring_cqe& done);
  void OnWrite(uint32_t chunk, const io_uring_cqe& done);

  const Options options_;
  const uint32_t chunks_;
  io_uring ring_;
  io_uring_buf_ring* buffers_ = nullptr;
  char* region_ = nullptr;
  int file_ = -1;
  int listener_ = -1;

  std::vector<uint64_t> filled_;  // Bytes in each chunk.
  uint32_t current_ = 0;          // The chunk that was received into last.
  std::vector<int> stalled_;      // Connections without a receive, as no chunk was free.
  uint64_t file_end_ = 0;         // Where the next chunk goes.
  uint64_t received_ = 0;
  int writes_in_flight_ = 0;
  int accepted_ = 0;
  int ended_ = 0;
  Clock::time_point start_;
};

BareLoop::BareLoop(const Options& options)
    : options_(options),
      chunks_(static_cast<uint32_t>(options.region_bytes / kChunkBytes)),
      filled_(chunks_) {
  OpenRing();
  MapRegion();
  OpenFile();
  Listen();
}

void BareLoop::OpenRing() {
  io_uring_params params = {};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
  params.cq_entries = 16384;  // A thousand connections may all complete in one turn.
  const int result = io_uring_queue_init_params(2048, &ring_, &params);
  if (result < 0) Die("io_uring_queue_init", -result);
}

void BareLoop::MapRegion() {
  // One huge page more than is needed, so as to start on one.
  void* mapping = mmap(nullptr, options_.region_bytes + kHugePageBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) Die("mmap", errno);
  const auto begin = reinterpret_cast<uint64_t>(mapping);
  region_ = static_cast<char*>(mapping) + (RoundUp(begin, kHugePageBytes) - begin);
  OrDie(madvise(region_, options_.region_bytes, MADV_HUGEPAGE), "madvise");

  const iovec region = {region_, options_.region_bytes};
  int result = io_uring_register_buffers(&ring_, &region, 1);
  if (result < 0) Die("register the region (see ulimit -l)", -result);

  const uint32_t entries = std::bit_ceil(chunks_);
  buffers_ = io_uring_setup_buf_ring(&ring_, entries, kBufferGroup, IOU_PBUF_RING_INC, &result);
  if (buffers_ == nullptr) Die("io_uring_setup_buf_ring", -result);
  for (uint32_t chunk = 0; chunk < chunks_; ++chunk) ReturnChunk(chunk);
}

void BareLoop::OpenFile() {
  file_ = open(options_.path, O_WRONLY | O_CREAT | O_DIRECT | O_CLOEXEC, 0644);
  OrDie(file_, options_.path);
  const auto size = static_cast<int64_t>(RoundUp(options_.size, kBlockBytes));
  OrDie(fallocate(file_, 0, 0, size), "fallocate");
}

void BareLoop::Listen() {
  listener_ = static_cast<int>(OrDie(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  const int on = 1;
  OrDie(setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), "SO_REUSEADDR");
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(options_.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  OrDie(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), "bind");
  OrDie(listen(listener_, SOMAXCONN), "listen");
}

io_uring_sqe* BareLoop::NewSubmission(OpKind kind, uint32_t id) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) {  // The queue is full: hand it over.
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  io_uring_sqe_set_data64(sqe, uint64_t{static_cast<uint8_t>(kind)} << 32 | id);
  return sqe;
}

void BareLoop::Accept() {
  io_uring_sqe* sqe = NewSubmission(OpKind::kAccept, 0);
  io_uring_prep_multishot_accept(sqe, listener_, nullptr, nullptr, SOCK_CLOEXEC);
}

void BareLoop::Receive(int connection) {
  io_uring_sqe* sqe = NewSubmission(OpKind::kReceive, static_cast<uint32_t>(connection));
  io_uring_prep_recv_multishot(sqe, connection, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = kBufferGroup;
}

void BareLoop::WriteChunk(uint32_t chunk) {
  const uint64_t bytes = RoundUp(filled_[chunk], kBlockBytes);
  io_uring_sqe* sqe = NewSubmission(OpKind::kWrite, chunk);
  io_uring_prep_write_fixed(sqe, file_, region_ + chunk * kChunkBytes, static_cast<uint32_t>(bytes),
                            file_end_, kRegionBuffer);
  file_end_ += bytes;
  ++writes_in_flight_;
}

void BareLoop::ReturnChunk(uint32_t chunk) {
  filled_[chunk] = 0;
  io_uring_buf_ring_add(buffers_, region_ + chunk * kChunkBytes, kChunkBytes,
                        static_cast<uint16_t>(chunk),
                        io_uring_buf_ring_mask(std::bit_ceil(chunks_)), 0);
  io_uring_buf_ring_advance(buffers_, 1);
}

void BareLoop::OnAccept(const io_uring_cqe& done) {
  if (done.res < 0) Die("accept", -done.res);
  if (accepted_++ == 0) start_ = Clock::now();
  Receive(done.res);
  if (!(done.flags & IORING_CQE_F_MORE)) Accept();
}

void BareLoop::OnReceive(int connection, const io_uring_cqe& done) {
  if (done.res == -ENOBUFS) return stalled_.push_back(connection);
  if (done.res < 0) Die("receive", -done.res);
  if (done.res == 0) {
    close(connection);
    ++ended_;
    return;
  }
  received_ += done.res;
  current_ = done.flags >> IORING_CQE_BUFFER_SHIFT;
  filled_[current_] += done.res;
  if (!(done.flags & IORING_CQE_F_BUF_MORE)) WriteChunk(current_);
  if (!(done.flags & IORING_CQE_F_MORE)) Receive(connection);
}

void BareLoop::OnWrite(uint32_t chunk, const io_uring_cqe& done) {
  if (done.res < 0) Die("write", -done.res);
  if (static_cast<uint64_t>(done.res) < filled_[chunk]) Die("short write");
  --writes_in_flight_;
  ReturnChunk(chunk);
  for (const int connection : stalled_) Receive(connection);
  stalled_.clear();
}

void BareLoop::Turn() {
  const int submitted = io_uring_submit_and_wait(&ring_, 1);
  if (submitted < 0 && submitted != -EINTR) Die("io_uring_submit_and_wait", -submitted);
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* done = nullptr;
  io_uring_for_each_cqe(&ring_, head, done) {
    ++count;
    const auto id = static_cast<uint32_t>(done->user_data);
    const auto kind = static_cast<OpKind>(done->user_data >> 32);
    if (kind == OpKind::kAccept) OnAccept(*done);
    if (kind == OpKind::kReceive) OnReceive(static_cast<int>(id), *done);
    if (kind == OpKind::kWrite) OnWrite(id, *done);
  }
  io_uring_cq_advance(&ring_, count);
}

void BareLoop::Run() {
  Accept();
  while (ended_ < options_.streams) Turn();
  const bool tail = filled_[current_] % kChunkBytes != 0;  // A full chunk is on its way.
  if (tail) WriteChunk(current_);
  while (writes_in_flight_ > 0) Turn();
  OrDie(ftruncate(file_, static_cast<int64_t>(received_)), "ftruncate");
  OrDie(fdatasync(file_), "fdatasync");

  const std::chrono::duration<double> took = Clock::now() - start_;
  std::printf("{\"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"gigabytes_per_second\": %.3f}\n",
              received_, took.count(), static_cast<double>(received_) / took.count() / 1e9);
}

Options ParseOptions(int argc, char** argv) {
  static constexpr option kOptions[] = {
      {"port", required_argument, nullptr, 0},   {"file", required_argument, nullptr, 0},
      {"size", required_argument, nullptr, 0},   {"streams", required_argument, nullptr, 0},
      {"region", required_argument, nullptr, 0}, {nullptr, 0, nullptr, 0}};
  Options options;
  int index = 0;
  while (getopt_long(argc, argv, "", kOptions, &index) == 0) {
    const std::string_view name = kOptions[index].name;
    if (name == "port") options.port = static_cast<uint16_t>(std::atoi(optarg));
    if (name == "file") options.path = optarg;
    if (name == "size") options.size = ParseByteSize(optarg);
    if (name == "streams") options.streams = std::atoi(optarg);
    if (name == "region") options.region_bytes = ParseByteSize(optarg);
  }
  if (options.port == 0 || options.path == nullptr || options.size == 0) {
    Die("usage: --port PORT --file PATH --size BYTES [--streams N] [--region BYTES]");
  }
  return options;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  sluice::RaiseDescriptorLimit();
  sluice::BareLoop(sluice::ParseOptions(argc, argv)).Run();
}
