// A network, a disk and a clock in one thread, decided by one seed. For tests.
#ifndef INGEST_RING_SIM_RING_H_
#define INGEST_RING_SIM_RING_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "ingest/ring/ring.h"

namespace sluice {

// How often things go wrong; each is one in so many chances, 0 is never.
struct SimFaults {
  uint32_t short_write = 0;       // a write stops early, at any multiple of 512 bytes
  uint32_t short_write_max = 0;   // ... but after so many bytes at most; 0: after any
  uint32_t again = 0;             // a write is refused with -EAGAIN or -EINTR
  uint32_t write_error = 0;       // ... with -EIO or -ENOSPC
  uint32_t write_nothing = 0;     // a write completes with 0
  uint32_t sync_error = 0;        // a sync fails with -EIO
  uint32_t end_of_multishot = 0;  // a receive or accept completes without F_MORE
  uint32_t accept_error = 0;      // an accept ends with -EMFILE
};

// What the modelled device demands of a direct write. Violations are kept in violations().
struct SimDevice {
  uint32_t memory_align = 512;
  uint32_t offset_align = 512;
  uint64_t virt_boundary = 0;
  uint64_t write_bytes_max = 4 << 20;
  uint32_t ranges_max = 254;
};

// The fault model. Peers send their bytes in pieces of any size at any time; a socket buffer
// holds a bounded part, the rest waits (the TCP window). Completions come in any order across
// operations, in order within one. Memory that a write names is copied when the write is
// submitted, and compared when it completes: a change in between is a violation, as is reading
// past a descriptor's life. At power loss (CrashImage) each 512-byte sector written since the
// last finished sync is kept, dropped or torn, each by itself. A sync covers the writes that had
// finished when it was submitted; what a failed one covered stays in doubt for ever.
class SimRing final : public Ring {
 public:
  explicit SimRing(uint64_t seed, SimFaults faults = {}, SimDevice device = {});
  ~SimRing() override;

  // -- The world, for the test.
  enum class PeerEnd { kClose, kReset, kStay };
  // A listener's descriptor.
  int AddListener();
  // A peer that connects to `listener`, sends `bytes`, then does as `end` says. Peers are numbered
  // from 1; their address is 10.0.0.1 with that number as the port.
  int AddPeer(int listener, std::string bytes, PeerEnd end = PeerEnd::kClose);
  // A peer that is reached by Connect() instead, next.
  int AddDialledPeer(std::string bytes, PeerEnd end = PeerEnd::kClose);
  int AddFile(uint64_t bytes);
  // Runs on the ring's thread, inside SubmitAndWait, after some simulated time.
  void After(absl::Duration delay, std::function<void()> work);

  std::string& FileBytes(int file);  // as a reader sees it now
  // What power loss would leave of it, now.
  std::string CrashImage(int file);
  // How many of peer's bytes have been handed to the receiver.
  uint64_t Delivered(int peer) const;
  bool Gone(int peer) const;  // its socket has been closed by the receiver
  const std::vector<std::string>& violations() const { return violations_; }
  uint64_t writes() const { return writes_done_; }
  uint64_t Roll(uint64_t below) { return below == 0 ? 0 : dice_() % below; }
  SimFaults& faults() { return faults_; }

  // -- Ring
  absl::Duration Monotonic() const override { return now_; }
  UnixNanos RealTime() const override;
  void AcceptMultishot(OpTag tag, int listener) override;
  void Connect(OpTag tag, int socket, const SocketAddress& to) override;
  void ReceiveMultishot(OpTag tag, int socket, BufferGroup group) override;
  void Cancel(OpTag target) override;
  absl::StatusOr<int> OpenSocket(const SocketAddress& towards) override;
  SocketAddress PeerAddress(int socket) override;
  SocketAddress LocalAddress(int socket) override;
  void ShutdownReceive(int socket) override;
  void CloseSocket(int socket) override;
  absl::Status OpenBufferGroup(BufferGroup group, uint32_t entries) override;
  void ProvideBuffer(BufferGroup group, uint16_t id, std::span<std::byte> memory) override;
  void CloseBufferGroup(BufferGroup group) override;
  absl::Status RegisterMemory(std::span<std::byte> memory) override;
  void Write(OpTag tag, int file, FileOffset at, std::span<const iovec> ranges) override;
  void SyncData(OpTag tag, int file) override;
  void SubmitAndWait(absl::Duration timeout) override;
  std::span<const Completion> Harvest() override;
  void Wake() override { woken_ = true; }

 private:
  static constexpr uint64_t kSocketBuffer = 64 << 10;

  struct Peer {
    std::string bytes;
    PeerEnd end = PeerEnd::kClose;
    uint64_t arrived = 0;    // in the socket buffer, or beyond
    uint64_t delivered = 0;  // received
    bool shut_down = false;  // nothing more arrives
    bool gone = false;
  };
  struct Listener {
    std::deque<int> backlog;  // peers
    bool armed = false;
    OpTag tag;
  };
  struct Socket {
    int peer = 0;  // 0: not connected
    bool armed = false;
    OpTag tag;
    BufferGroup group = 0;
  };
  struct Group {
    struct Buffer {
      uint16_t id;
      std::span<std::byte> memory;  // what is left of it
    };
    uint32_t entries = 0;
    std::deque<Buffer> buffers;
  };
  struct File {
    std::string bytes;
    std::string durable;
    struct Dirty {
      uint64_t number;  // of the ring's writes
      uint64_t at;
      std::string bytes;
      bool in_doubt = false;  // a sync that covered it has failed
    };
    std::vector<Dirty> dirty;  // written, not covered by a finished sync
  };
  struct PendingWrite {
    OpTag tag;
    int file;
    uint64_t at;
    std::vector<iovec> ranges;
    std::string content;
  };
  struct PendingSync {
    OpTag tag;
    int file;
    uint64_t covers;  // the writes up to this number
  };
  struct PendingConnect {
    OpTag tag;
    int socket;
  };
  struct Timer {
    absl::Duration at;
    std::function<void()> work;
  };

  bool OneIn(uint32_t chances) { return chances != 0 && Roll(chances) == 0; }
  void Complete(OpTag tag, int32_t result, uint32_t flags = 0) {
    ready_.push_back({tag, result, flags});
  }
  void Violation(std::string what) { violations_.push_back(std::move(what)); }
  void CheckWrite(const PendingWrite& write);
  // Each does one thing that can happen, if there is one; false otherwise.
  bool Step();
  bool Arrive();
  bool ServeAccept();
  bool ServeReceive();
  bool ServeConnect();
  bool ServeWrite();
  bool ServeSync();
  void RunTimers();

  std::mt19937_64 dice_;
  SimFaults faults_;
  const SimDevice device_;
  absl::Duration now_ = absl::Seconds(1);
  bool woken_ = false;
  int next_fd_ = 3;
  int last_peer_ = 0;
  std::map<int, Peer> peers_;
  std::deque<int> dialled_;
  std::map<int, Listener> listeners_;
  std::map<int, Socket> sockets_;
  std::map<BufferGroup, Group> groups_;
  std::map<int, File> files_;
  std::vector<PendingWrite> pending_writes_;
  std::vector<PendingSync> pending_syncs_;
  std::vector<PendingConnect> pending_connects_;
  std::vector<Timer> timers_;
  std::vector<Completion> ready_;
  std::vector<Completion> harvest_;
  std::vector<std::string> violations_;
  uint64_t writes_done_ = 0;
};

}  // namespace sluice

#endif  // INGEST_RING_SIM_RING_H_
