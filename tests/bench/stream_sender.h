#ifndef TESTS_BENCH_STREAM_SENDER_H_
#define TESTS_BENCH_STREAM_SENDER_H_

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "tests/bench/stream_content.h"

namespace sluice {

// What a sender does with a connection after the last byte.
enum class Ending {
  kAwaitPeer,  // Half-close and wait for the peer to close: then all is delivered.
  kClose,      // Close as soon as the kernel has taken the last byte.
  kHold,       // Keep it open, as if more were to come, until the peer closes.
};

// One connection, and what became of it.
struct Stream {
  uint64_t number = 0;
  uint64_t bytes = 0;  // To send.
  uint64_t sent = 0;   // Taken by the kernel.
  int socket = -1;     // Open until the stream has ended.
  sockaddr_in local = {};
  int error = 0;  // What a stream that failed died of.
};

// What goes into one send.
enum class Pieces {
  kLarge,  // As much as the kernel takes.
  kOdd,    // An odd number of bytes, up to 64 KiB.
};

// Sends streams as fast as their peer takes them, all from one thread.
class StreamSender {
 public:
  StreamSender(const StreamContent& content, Pieces pieces, Ending ending,
               std::vector<Stream> streams);
  StreamSender(const StreamSender&) = delete;
  StreamSender& operator=(const StreamSender&) = delete;
  ~StreamSender();

  void Connect(const sockaddr_in& to);
  void SendAll();   // Returns when the kernel has taken the last byte, or every stream failed.
  void AwaitEnd();  // Returns when every stream has ended.

  bool all_sent() const;
  const std::vector<Stream>& streams() const { return streams_; }

 private:
  void Turn();
  uint64_t NextPiece(const Stream& stream);
  void Send(Stream& stream);
  void FinishSending(Stream& stream);
  void AwaitPeer(Stream& stream);
  void End(Stream& stream, int error);

  const StreamContent& content_;
  const Pieces pieces_;
  const Ending ending_;
  std::mt19937_64 random_;
  std::vector<Stream> streams_;
  size_t sending_ = 0;
  size_t open_ = 0;
  int epoll_ = -1;
};

}  // namespace sluice

#endif  // TESTS_BENCH_STREAM_SENDER_H_
