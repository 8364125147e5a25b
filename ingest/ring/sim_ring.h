// A network, a disk and a clock in one thread, decided by one seed. For tests.
#ifndef INGEST_RING_SIM_RING_H_
#define INGEST_RING_SIM_RING_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/ring/ring.h"
#include "ingest/ring/sim_area.h"
#include "ingest/ring/sim_disk.h"
#include "ingest/ring/sim_world.h"

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
  uint32_t slow = 0;              // a write or sync takes up to a second

  // Of zero-copy receive.
  uint32_t queue_full = 0;  // it ends with -ENOSPC though there is room
  uint32_t no_page = 0;     // the device, or a copy in its place, finds none though there are some
  uint32_t linear = 0;      // a packet lies with its header: copied, and counted nowhere
  uint32_t not_placed = 0;  // ... in the kernel's own pages: copied, and counted
  uint32_t foreign = 0;     // from here on a stream lies in another queue's memory
  uint32_t foreign_readable = 0;  // ... from which a plain receive can copy
};

// What no kernel and no disk may do, for tests of tests; each is one in so many chances.
struct SimLies {
  uint32_t sync_does_nothing = 0;     // and is reported as done
  uint32_t write_misplaced = 0;       // by a block
  uint32_t write_reported_early = 0;  // memory is read some time later
  uint32_t receive_lost = 0;          // a completion of a plain receive
  uint32_t last_block_lost = 0;       // a write that ends with the file
};

// How a peer's packets come.
struct SimRoute {
  uint32_t napi = 0;
  bool steered = true;  // through the open queue, so that its device places them
  bool plain_tcp = true;
  uint64_t foreign_from = UINT64_MAX;  // in another queue's memory
  bool foreign_is_readable = false;
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
//
// Zero-copy receive, once a queue is open (sim_area.h says what becomes of pages). Through a
// device, what arrives is cut into packets of 1 to 4096 bytes. The device places them into pages
// of the area, at any byte and next to those of other streams; some it does not place, and the
// receive copies them; and it drops those for which it finds no page: they are sent again later.
// Without a device everything is copied, in pieces of 1 to 4096 bytes, each to the start of a
// page of its own. A receive brings up to twenty completions at a time, and ends with -ENOSPC
// when too many wait for a harvest (or by chance), with -ENOMEM when a copy finds no page, with
// -EFAULT at bytes in another queue's memory, and with -EPROTONOSUPPORT when the peer is no plain
// TCP. Nothing of this loses bytes. A cancelled one may first bring what it has. A plain receive
// ends with -EFAULT at what the device placed. The kernel takes entries of the refill ring at
// random moments if it has a device, else only in FlushRefill(). What a write puts into the file is
// what memory holds when it completes: of a page in the area only the fragments that the user held
// when it was submitted must not have changed, because others may be placed around them. Without an
// open queue no dice are rolled for any of this.
class SimRing final : public Ring {
 public:
  explicit SimRing(uint64_t seed, SimFaults faults = {}, SimDevice device = {});
  // One of several in a world, on one disk; both outlive it. Its lane is turned by the test, which
  // also lets the kernel work and the time pass: SubmitAndWait() does neither, and returns at once.
  SimRing(SimWorld& world, SimDisk& disk, SimFaults faults, SimDevice device);
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
  int AddFile(uint64_t bytes) { return disk_->AddFile(bytes); }
  // Runs on the ring's thread, inside SubmitAndWait, after some simulated time.
  void After(absl::Duration delay, std::function<void()> work) {
    world_->After(delay, std::move(work));
  }

  // From now on no write and no sync of this ring's completes for so long; zero ends it.
  void StallDisk(absl::Duration time);

  // From now on all writes to the file, all its syncs, fail with -EIO.
  void BreakFile(int file, bool writes, bool syncs);
  // ... or wait, until they need not any more.
  void StallFile(int file, bool stalls);

  std::string_view FileBytes(int file) const { return disk_->Bytes(file); }  // as a reader sees it
  // What power loss would leave of it, now.
  std::string CrashImage(int file) { return disk_->CrashImage(file); }
  // How many of peer's bytes have been handed to the receiver.
  uint64_t Delivered(int peer) const;
  std::map<int, uint64_t> delivered_by_peer() const;
  uint64_t delivered() const;  // by all
  bool Gone(int peer) const;   // its socket has been closed by the receiver
  const std::vector<std::string>& violations() const { return violations_; }
  uint64_t writes() const { return disk_->writes(); }
  uint64_t Roll(uint64_t below) { return world_->Roll(below); }
  SimFaults& faults() { return faults_; }
  SimLies& lies() { return lies_; }
  SimQueue& queue() { return queue_; }
  SimRoute& route(int peer) { return peers_.at(peer).route; }
  const SimArea* area() const { return area_.get(); }  // nullptr before a queue is open
  // The kernel takes all of the refill ring, as it would some day.
  void TakeRefill() { area_->TakeRefill(UINT32_MAX); }

  // -- Of one in a shared world.
  // Does one thing that can happen, if there is one; false otherwise.
  bool Step();
  // When its lane wants to be turned: there is something for it, or it has slept long enough.
  absl::Duration WakesAt() const;
  // The machine dies, or only the process: of the writes in flight some reach the disk, in whole
  // or in part. From here on nothing does, whatever is submitted is refused, and every peer is
  // gone, so that the lane can be taken down.
  void Die();

  // -- Ring
  absl::Duration Monotonic() const override { return world_->now(); }
  UnixNanos RealTime() const override { return world_->real_time(); }
  void AcceptMultishot(OpTag tag, int listener) override;
  void Connect(OpTag tag, int socket, const SocketAddress& to) override;
  void ReceiveMultishot(OpTag tag, int socket, BufferGroup group) override;
  void ReceiveZeroCopy(OpTag tag, int socket) override;
  void Cancel(OpTag target) override;
  absl::StatusOr<int> OpenSocket(const SocketAddress& towards) override;
  SocketAddress PeerAddress(int socket) override;
  SocketAddress LocalAddress(int socket) override;
  void ShutdownReceive(int socket) override;
  void CloseSocket(int socket) override;
  absl::Status OpenBufferGroup(BufferGroup group, uint32_t entries) override;
  void ProvideBuffer(BufferGroup group, uint16_t id, std::span<std::byte> memory) override;
  void CloseBufferGroup(BufferGroup group) override;
  absl::StatusOr<RefillRing> OpenInterfaceQueue(const InterfaceQueueOptions& options) override;
  void FlushRefill() override;
  void ArmEvent(zcrx::Event type) override;
  uint32_t IncomingNapi(int socket) override;
  absl::Status RegisterMemory(std::span<std::byte> memory) override;
  void Write(OpTag tag, int file, FileOffset at, std::span<const iovec> ranges) override;
  void SyncData(OpTag tag, int file) override;
  void SubmitAndWait(absl::Duration timeout) override;
  std::span<const Completion> Harvest() override;
  void Wake() override { woken_ = true; }

 private:
  static constexpr uint64_t kSocketBuffer = 64 << 10;

  // What has come through a device, and waits in the socket.
  struct Packet {
    enum class Lies { kPlaced, kLinear, kInKernelPages } lies;
    uint64_t begin;
    uint64_t length;
    SimArea::Place place;  // if kPlaced
  };
  struct Peer {
    std::string bytes;
    PeerEnd end = PeerEnd::kClose;
    uint64_t arrived = 0;    // in the socket buffer, or beyond
    uint64_t delivered = 0;  // received
    bool shut_down = false;  // nothing more arrives
    bool gone = false;
    SimRoute route = {};
    std::deque<Packet> packets = {};  // in order; what is in none lies in the kernel's own memory
    absl::Duration sends_again_at = {};  // what was dropped
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
    bool zero_copy = false;
  };
  struct Group {
    struct Buffer {
      uint16_t id;
      std::span<std::byte> memory;  // what is left of it
    };
    uint32_t entries = 0;
    std::deque<Buffer> buffers;
  };
  struct PendingWrite {
    OpTag tag;
    int file;
    uint64_t at;
    std::vector<iovec> ranges;
    std::string content;
    std::string fixed;  // '1' for each byte that must not change; empty: none may
    absl::Duration not_before = {};
    bool was_reported = false;  // a lie
  };
  struct PendingSync {
    OpTag tag;
    int file;
    uint64_t covers;  // the writes up to this number
    absl::Duration not_before = {};
  };
  struct PendingConnect {
    OpTag tag;
    int socket;
  };

  bool OneIn(uint32_t chances) { return world_->OneIn(chances); }
  void Complete(OpTag tag, int32_t result, uint32_t flags = 0) {
    ready_.push_back({tag, result, flags});
  }
  void Violation(std::string what) { violations_.push_back(std::move(what)); }
  void CheckWrite(const PendingWrite& write);
  void CheckUnchanged(const PendingWrite& write, const std::string& now);
  bool IsBeingWritten(std::span<const std::byte> memory) const;
  void Arm(OpTag tag, int socket, BufferGroup group, bool zero_copy);
  void End(Socket& socket, int32_t result);
  void SendEvent(zcrx::Event type);
  // Brings `piece` more bytes in, as packets.
  void ArriveThroughDevice(Peer& peer, uint64_t piece);
  Packet NextPacket(const Peer& peer, uint64_t most, bool* dropped);
  uint64_t PlainlyReadable(const Peer& peer) const;
  void Consume(Peer& peer, uint64_t length);
  bool CanReceive(const Socket& socket) const;
  void Receive(Socket& socket);
  void CancelReceives();
  void ReceiveCopying(Socket& socket, Peer& peer);
  void ReceiveFromArea(Socket& socket, Peer& peer);
  // 0, or why the receive ends.
  int DeliverFromArea(Socket& socket, Peer& peer);
  std::optional<SimArea::Place> CopyIntoArea(Peer& peer);
  absl::Duration SlowUntil();
  static std::string ContentOf(const PendingWrite& write);
  // As Step(), each of one kind.
  bool Arrive();
  bool ServeAccept();
  bool ServeReceive();
  bool ServeRefill();
  bool ServeConnect();
  bool ServeWrite();
  bool ServeSync();

  const std::unique_ptr<SimWorld> own_world_;  // or none
  const std::unique_ptr<SimDisk> own_disk_;
  SimWorld* const world_;
  SimDisk* const disk_;
  SimFaults faults_;
  SimLies lies_;
  const SimDevice device_;
  absl::Duration disk_stalls_until_;
  std::set<int> unwritable_files_;
  std::set<int> unsyncable_files_;
  std::set<int> stalled_files_;
  bool woken_ = false;
  std::optional<absl::Duration> sleeps_until_;  // in a shared world
  bool dead_ = false;
  std::map<int, Peer> peers_;
  std::deque<int> dialled_;
  std::map<int, Listener> listeners_;
  std::map<int, Socket> sockets_;
  std::map<BufferGroup, Group> groups_;
  std::vector<PendingWrite> pending_writes_;
  std::vector<PendingSync> pending_syncs_;
  std::vector<PendingConnect> pending_connects_;
  std::vector<int> pending_cancels_;  // of zero-copy receives: sockets
  std::vector<Completion> ready_;
  std::vector<Completion> harvest_;
  std::vector<std::string> violations_;
  SimQueue queue_;
  std::unique_ptr<SimArea> area_;
  OpTag event_tag_;
  uint32_t area_completions_ready_ = 0;  // data, not harvested
};

}  // namespace sluice

#endif  // INGEST_RING_SIM_RING_H_
