// Sends test streams at full speed, and knows afterwards what they held.
//
//   stream_source --to 127.0.0.1:9000 --bytes 4GiB --streams 8     send
//   stream_source --cat 3 --bytes 512MiB                           print stream 3
//   stream_source --check FILE --stream 3 --bytes 512MiB           compare a file with it
//
// The bytes of --to are the sum over all streams; the last one takes the remainder. With
// --odd no stream is longer than its share.

#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/bench/command_line.h"
#include "tests/bench/stream_check.h"
#include "tests/bench/stream_content.h"
#include "tests/bench/stream_sender.h"

namespace sluice {
namespace {

constexpr char kUsage[] = R"(usage:
  stream_source --to IP:PORT --bytes SIZE [--streams N] [--threads N] [--seed N]
                [--ending await|close|hold] [--odd] [--list]
  stream_source --cat STREAM --bytes SIZE [--seed N]
  stream_source --check FILE|- [--stream N] [--begin SIZE] [--bytes SIZE] [--seed N]

  --bytes    of all streams together (--to) or of the one (--cat, --check)
  --ending   after the last byte: half-close and await the peer's close (await, the
             default), close, or hold the connection until the peer closes it
  --odd      streams of odd lengths, up to a stream's share of --bytes, in pieces of odd sizes
  --list     name each stream in the result, with the address that it was sent from
  --begin    where in the stream the file begins; default: 0
  --stream   what the file should hold; default: the stream that its first bytes name
)";

struct Options {
  const char* to = nullptr;
  const char* check = nullptr;
  int64_t cat = -1;
  int64_t stream = -1;
  int64_t bytes = -1;
  uint64_t begin = 0;
  uint64_t streams = 1;
  uint64_t threads = 1;
  uint64_t seed = 1;
  Ending ending = Ending::kAwaitPeer;
  bool odd = false;
  bool list = false;
};

Ending ParseEnding(const char* text) {
  if (!std::strcmp(text, "await")) return Ending::kAwaitPeer;
  if (!std::strcmp(text, "close")) return Ending::kClose;
  if (!std::strcmp(text, "hold")) return Ending::kHold;
  Die(text, EINVAL);
}

[[noreturn]] void DieOfUsage() {
  std::fputs(kUsage, stderr);
  std::exit(2);
}

Options ParseOptions(int argc, char** argv) {
  static constexpr option kOptions[] = {{"to", required_argument, nullptr, 0},
                                        {"check", required_argument, nullptr, 0},
                                        {"cat", required_argument, nullptr, 0},
                                        {"stream", required_argument, nullptr, 0},
                                        {"bytes", required_argument, nullptr, 0},
                                        {"streams", required_argument, nullptr, 0},
                                        {"threads", required_argument, nullptr, 0},
                                        {"seed", required_argument, nullptr, 0},
                                        {"ending", required_argument, nullptr, 0},
                                        {"begin", required_argument, nullptr, 0},
                                        {"odd", no_argument, nullptr, 0},
                                        {"list", no_argument, nullptr, 0},
                                        {nullptr, 0, nullptr, 0}};
  Options options;
  int index = 0;
  for (int flag; (flag = getopt_long(argc, argv, "", kOptions, &index)) != -1;) {
    if (flag != 0) DieOfUsage();
    const std::string_view name = kOptions[index].name;
    if (name == "to") options.to = optarg;
    if (name == "check") options.check = optarg;
    if (name == "cat") options.cat = std::atoll(optarg);
    if (name == "stream") options.stream = std::atoll(optarg);
    if (name == "bytes") options.bytes = static_cast<int64_t>(ParseByteSize(optarg));
    if (name == "begin") options.begin = ParseByteSize(optarg);
    if (name == "streams") options.streams = std::strtoull(optarg, nullptr, 10);
    if (name == "threads") options.threads = std::strtoull(optarg, nullptr, 10);
    if (name == "seed") options.seed = std::strtoull(optarg, nullptr, 10);
    if (name == "ending") options.ending = ParseEnding(optarg);
    if (name == "odd") options.odd = true;
    if (name == "list") options.list = true;
  }
  const int modes = (options.to != nullptr) + (options.check != nullptr) + (options.cat >= 0);
  const bool complete = options.check != nullptr || options.bytes >= 0;
  if (modes != 1 || !complete || optind != argc || options.streams == 0) DieOfUsage();
  options.threads = std::clamp<uint64_t>(options.threads, 1, options.streams);
  return options;
}

int Cat(const Options& options) {
  const StreamContent content(options.seed);
  for (uint64_t at = 0; at < static_cast<uint64_t>(options.bytes);) {
    const ContentPart part(content, options.cat, at, options.bytes - at);
    at += OrDie(writev(STDOUT_FILENO, part.vectors(), part.count()), "write");
  }
  return 0;
}

int Check(const Options& options) {
  const bool from_stdin = !std::strcmp(options.check, "-");
  const int file =
      from_stdin
          ? STDIN_FILENO
          : static_cast<int>(OrDie(open(options.check, O_RDONLY | O_CLOEXEC), options.check));
  const std::string fault =
      CheckStream(StreamContent(options.seed), options.stream, options.bytes, file, options.begin);
  if (fault.empty()) return 0;
  std::fprintf(stderr, "%s: %s\n", options.check, fault.c_str());
  return 1;
}

void PrintStream(const Stream& stream, bool last) {
  std::printf("    {\"stream\": %" PRIu64 ", \"local_address\": \"%s:%d\", \"bytes\": %" PRIu64
              "}%s\n",
              stream.number, inet_ntoa(stream.local.sin_addr), ntohs(stream.local.sin_port),
              stream.sent, last ? "" : ",");
}

int Report(const Options& options, std::vector<Stream> streams, double seconds) {
  std::sort(streams.begin(), streams.end(),
            [](const Stream& a, const Stream& b) { return a.number < b.number; });
  uint64_t sent = 0;
  int failed = 0;
  for (const Stream& stream : streams) {
    sent += stream.sent;
    if (stream.error == 0) continue;
    ++failed;
    std::fprintf(stderr, "stream %" PRIu64 ": %s after %" PRIu64 " bytes\n", stream.number,
                 std::strerror(stream.error), stream.sent);
  }
  std::printf("{\n  \"bytes\": %" PRIu64 ",\n  \"streams\": %zu,\n  \"streams_failed\": %d,\n",
              sent, streams.size(), failed);
  std::printf("  \"seconds\": %.6f,\n  \"gigabytes_per_second\": %.3f%s\n", seconds,
              static_cast<double>(sent) / seconds / 1e9, options.list ? "," : "");
  if (options.list) {
    std::printf("  \"sent\": [\n");
    for (const Stream& stream : streams) PrintStream(stream, &stream == &streams.back());
    std::printf("  ]\n");
  }
  std::printf("}\n");
  return failed == 0 ? 0 : 1;
}

// Of all streams that --to sends.
std::vector<uint64_t> Lengths(const Options& options) {
  const uint64_t share = options.bytes / options.streams;
  std::vector<uint64_t> lengths(options.streams, share);
  if (!options.odd) {
    lengths.back() += options.bytes % options.streams;
    return lengths;
  }
  std::mt19937_64 random(options.seed);
  // The first has its whole share; one in fifty is empty.
  for (uint64_t i = 1; i < options.streams; ++i) {
    const uint64_t most = std::max<uint64_t>(share >> (random() % 8), 1);
    lengths[i] = i % 50 == 49 ? 0 : random() % most | 1;
  }
  return lengths;
}

int Send(const Options& options) {
  RaiseDescriptorLimit();
  const sockaddr_in to = ParseAddress(options.to);
  const StreamContent content(options.seed);
  std::vector<std::vector<Stream>> shares(options.threads);
  const std::vector<uint64_t> lengths = Lengths(options);
  for (uint64_t i = 0; i < options.streams; ++i) {
    shares[i % options.threads].push_back({.number = i, .bytes = lengths[i]});
  }
  const Pieces pieces = options.odd ? Pieces::kOdd : Pieces::kLarge;
  std::deque<StreamSender> senders;
  for (auto& share : shares) {
    senders.emplace_back(content, pieces, options.ending, std::move(share));
  }

  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  threads.reserve(senders.size());
  for (StreamSender& sender : senders) {
    threads.emplace_back([&] {
      sender.Connect(to);
      sender.SendAll();
    });
  }
  for (std::thread& thread : threads) thread.join();
  // For whoever waits for it, to do something to the peer.
  const bool all_sent = std::all_of(senders.begin(), senders.end(),
                                    [](const StreamSender& sender) { return sender.all_sent(); });
  if (all_sent && options.ending == Ending::kHold) std::fprintf(stderr, "all sent, holding\n");
  std::vector<Stream> streams;
  for (StreamSender& sender : senders) {
    sender.AwaitEnd();
    streams.insert(streams.end(), sender.streams().begin(), sender.streams().end());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return Report(options, std::move(streams), took.count());
}

int Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  if (options.to != nullptr) return Send(options);
  return options.check != nullptr ? Check(options) : Cat(options);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
