// What a fragment costs in user space on its way from a completion into an extent and home again,
// on a simulated ring: by copying and without a copy, beside a memcpy of the same bytes.
//
//   fragment_path [--fragment BYTES] [--bytes SIZE] [--crc] [--only copy|zero-copy]
//
// fragment_path.sh adds the count of instructions.
#include <getopt.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/check.h"
#include "ingest/receive/interface_queue.h"
#include "ingest/receive/stream_receiver.h"
#include "ingest/region/chunk_pool.h"
#include "ingest/region/region.h"
#include "ingest/ring/sim_ring.h"
#include "tests/bench/command_line.h"
#include "writer/extent/extent_builder.h"
#include "writer/extent/extent_slab.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kSlots = 4;
constexpr uint32_t kChunks = 16;
constexpr ByteCount kArea = MiB(32);  // more than a cache holds

struct Options {
  uint64_t fragment = 4096;  // divides 4096
  uint64_t bytes = 64 << 20;
  bool crc = false;
  std::string_view only;
};

// As a track does: fragments into extents. An extent is "written" as soon as it is sealed.
class ExtentSink final : public LeaseSink {
 public:
  ExtentSink(Region& region, ExtentSlab& slab, const ExtentBuilderOptions& options)
      : builder_(region, slab, options) {}

  void OnOpened(const StreamOpened& stream) override { builder_.AddOpened(stream, {1}, 1); }
  void OnFragment(const Fragment& fragment, RegionLease lease) override {
    if (builder_.MustSealBefore(fragment)) Write();
    builder_.Add(fragment, std::move(lease), {1}, 1);
    ++fragments_;
    bytes_ += fragment.length.value;
    if (remember_) seen_.push_back(fragment);
  }
  void OnClosed(StreamId stream, StreamOffset length, StreamEnd) override {
    builder_.AddClosed(stream, length, CloseReason::kEndOfStream, {1});
    Write();
    closed_ = true;
  }
  bool Accepts() const override { return true; }

  void Write() { builder_.Seal(); }
  uint64_t fragments() const { return fragments_; }
  uint64_t bytes() const { return bytes_; }
  bool closed() const { return closed_; }
  void Remember(bool on) { remember_ = on; }
  std::vector<Fragment>& seen() { return seen_; }

 private:
  ExtentBuilder builder_;
  uint64_t fragments_ = 0;
  uint64_t bytes_ = 0;
  bool closed_ = false;
  bool remember_ = false;
  std::vector<Fragment> seen_;
};

struct Result {
  uint64_t fragments = 0;
  uint64_t bytes = 0;
  double path_ns = 0;
  double warm_memcpy_ns = 0;  // of the same bytes, which the simulator has just written
};

// What is measured, and what callgrind counts: one turn's completions.
[[gnu::noinline]] void HandleCompletions(const std::vector<Completion>& completions,
                                         StreamReceiver& receiver, InterfaceQueue* queue,
                                         absl::Duration now) {
  if (queue != nullptr) queue->OnHarvest();
  for (const Completion& done : completions) receiver.OnReceive(done);
  if (queue != nullptr) queue->OnTurn(now);
}

double Nanoseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::nano>(duration).count();
}

// The same fragments, copied out of the area: what is saved.
[[gnu::noinline]] void CopyAll(const Region& region, const std::vector<Fragment>& fragments,
                               std::byte* to) {
  for (const Fragment& fragment : fragments) {
    std::memcpy(to, region.At(fragment.at), fragment.length.value);
    to += fragment.length.value;
  }
}

Result Run(const Options& options, bool zero_copy) {
  const ByteCount pack = KiB(68);
  const ByteCount slab_bytes{RoundUp(ExtentSlab::SizeFor(kSlots, pack).value, 2 << 20)};
  const std::unique_ptr<Region> region = Region::Map(slab_bytes, MiB(kChunks) + kArea).value();
  ExtentSlab slab(*region, kSlots, pack);
  ChunkPool chunks(region->area_begin(), MiB(1), kChunks);
  Result result;
  {
    SimRing ring(1);
    ring.queue().packet_bytes = static_cast<uint32_t>(options.fragment);
    const int listener = ring.AddListener();
    ring.AddPeer(listener, std::string(options.bytes, 'x'));
    std::unique_ptr<InterfaceQueue> queue;
    if (zero_copy) {
      queue = InterfaceQueue::Open(ring, *region,
                                   {.interface = "sim0",
                                    .area_begin = region->area_begin() + MiB(kChunks),
                                    .area = kArea})
                  .value();
    }
    ExtentBuilderOptions extent;
    extent.align = 4;
    extent.ranges_max = 128;
    extent.payload_crc = options.crc;
    extent.pack_bytes = pack.value - kBlockBytes;
    ExtentSink sink(*region, slab, extent);
    StreamReceiver receiver(ring, *region, chunks, sink, {.queue = queue.get()});
    SLUICE_CHECK(receiver.Open().ok());
    ring.AcceptMultishot({OpKind::kAccept, 0, 0, 0}, listener);

    std::vector<std::byte> target(options.bytes);
    uint64_t target_at = 0;
    std::vector<Completion> completions;
    while (!sink.closed()) {
      ring.SubmitAndWait(absl::ZeroDuration());
      completions.clear();
      for (const Completion& done : ring.Harvest()) {
        if (done.tag.kind == OpKind::kAccept) {
          receiver.Add(done.result, StreamId{1});
        } else {
          completions.push_back(done);
        }
      }
      sink.seen().clear();
      sink.Remember(true);
      const Clock::time_point begin = Clock::now();
      HandleCompletions(completions, receiver, queue.get(), ring.Monotonic());
      const Clock::time_point end = Clock::now();
      result.path_ns += Nanoseconds(end - begin);
      receiver.OnTurn(ring.Monotonic());  // for which the simulator scribbles over new chunks
      uint64_t bytes = 0;
      for (const Fragment& fragment : sink.seen()) bytes += fragment.length.value;
      const Clock::time_point copy = Clock::now();
      CopyAll(*region, sink.seen(), target.data() + target_at);
      result.warm_memcpy_ns += Nanoseconds(Clock::now() - copy);
      target_at += bytes;
    }
    result.fragments = sink.fragments();
    result.bytes = sink.bytes();
    ring.Cancel({OpKind::kAccept, 0, 0, 0});
    SLUICE_CHECK(result.bytes == options.bytes);
    SLUICE_CHECK(ring.violations().empty());
  }
  return result;
}

// The same copy of bytes that no cache holds, as when a device has put them into memory: pages in
// any order, to a buffer that is as large.
double ColdMemcpyNanoseconds(uint64_t fragment) {
  constexpr size_t kPages = (128 << 20) / 4096;  // several times a cache
  std::vector<std::byte> from(kPages * 4096, std::byte{1});
  std::vector<std::byte> to(kPages * 4096, std::byte{2});
  std::vector<size_t> order(kPages);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(1));
  const Clock::time_point begin = Clock::now();
  for (size_t i = 0; i < kPages; ++i) {
    std::memcpy(&to[i * 4096], &from[order[i] * 4096], fragment);
  }
  return Nanoseconds(Clock::now() - begin) / static_cast<double>(kPages);
}

void Print(const char* name, const Result& result, double cold_memcpy_ns) {
  const auto fragments = static_cast<double>(result.fragments);
  const double path_ns = result.path_ns / fragments;
  std::printf("%-10s %10.0f %12.1f %12.4f %12.1f %12.1f %14.3f\n", name, fragments, path_ns,
              result.path_ns / static_cast<double>(result.bytes), result.warm_memcpy_ns / fragments,
              cold_memcpy_ns, path_ns / cold_memcpy_ns);
}

Options Parse(int argc, char** argv) {
  const option kOptions[] = {{"fragment", required_argument, nullptr, 'f'},
                             {"bytes", required_argument, nullptr, 'b'},
                             {"crc", no_argument, nullptr, 'c'},
                             {"only", required_argument, nullptr, 'o'},
                             {}};
  Options options;
  for (int key = 0; (key = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    switch (key) {
      case 'f':
        options.fragment = ParseByteSize(optarg);
        break;
      case 'b':
        options.bytes = ParseByteSize(optarg);
        break;
      case 'c':
        options.crc = true;
        break;
      case 'o':
        options.only = optarg;
        break;
      default:
        std::exit(2);
    }
  }
  return options;
}

int Main(int argc, char** argv) {
  const Options options = Parse(argc, argv);
  const double cold_memcpy_ns = options.only.empty() ? ColdMemcpyNanoseconds(options.fragment) : 1;
  std::printf("fragments of %" PRIu64 " bytes, payload CRC %s\n", options.fragment,
              options.crc ? "on" : "off");
  std::printf("%-10s %10s %12s %12s %12s %12s %14s\n", "receiver", "fragments", "ns each",
              "ns/byte", "warm memcpy", "cold memcpy", "x cold memcpy");
  if (options.only != "zero-copy") Print("copy", Run(options, false), cold_memcpy_ns);
  if (options.only != "copy") Print("zero-copy", Run(options, true), cold_memcpy_ns);
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
