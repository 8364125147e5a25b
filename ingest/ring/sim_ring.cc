#include "ingest/ring/sim_ring.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ingest/check.h"

namespace sluice {
namespace {

constexpr uint64_t kSector = SimDisk::kSector;
constexpr uint64_t kBlock = 4096;
// What one event may take: enough to make timers pass while the world is busy.
constexpr absl::Duration kStepMax = absl::Microseconds(50);
constexpr absl::Duration kSlowMax = absl::Seconds(1);

SocketAddress AddressOf(uint8_t host, uint16_t port) {
  SocketAddress address;
  address.family = 4;
  address.port = port;
  address.bytes = {10, 0, 0, host};
  return address;
}

}  // namespace

SimRing::SimRing(uint64_t seed, SimFaults faults, SimDevice device)
    : own_world_(std::make_unique<SimWorld>(seed)),
      own_disk_(std::make_unique<SimDisk>(*own_world_)),
      world_(own_world_.get()),
      disk_(own_disk_.get()),
      faults_(faults),
      device_(device) {}

SimRing::SimRing(SimWorld& world, SimDisk& disk, SimFaults faults, SimDevice device)
    : world_(&world), disk_(&disk), faults_(faults), device_(device) {}

SimRing::~SimRing() {
  // What the kernel would still write to or read from.
  SLUICE_CHECK(pending_writes_.empty() && groups_.empty());
}

// ---- the world

int SimRing::AddListener() {
  const int listener = world_->NewDescriptor();
  listeners_[listener];
  return listener;
}

int SimRing::AddPeer(int listener, std::string bytes, PeerEnd end) {
  const int peer = world_->NewPeer();
  peers_[peer] = {std::move(bytes), end};
  listeners_.at(listener).backlog.push_back(peer);
  return peer;
}

int SimRing::AddDialledPeer(std::string bytes, PeerEnd end) {
  const int peer = world_->NewPeer();
  peers_[peer] = {std::move(bytes), end};
  dialled_.push_back(peer);
  return peer;
}

uint64_t SimRing::Delivered(int peer) const { return peers_.at(peer).delivered; }

std::map<int, uint64_t> SimRing::delivered_by_peer() const {
  std::map<int, uint64_t> delivered;
  for (const auto& [number, peer] : peers_) delivered[number] = peer.delivered;
  return delivered;
}

uint64_t SimRing::delivered() const {
  uint64_t sum = 0;
  for (const auto& [number, peer] : peers_) sum += peer.delivered;
  return sum;
}

bool SimRing::Gone(int peer) const { return peers_.at(peer).gone; }

// ---- submissions

void SimRing::AcceptMultishot(OpTag tag, int listener) {
  Listener& on = listeners_.at(listener);
  SLUICE_CHECK(!on.armed);
  on.armed = true;
  on.tag = tag;
}

void SimRing::Connect(OpTag tag, int socket, const SocketAddress&) {
  pending_connects_.push_back({tag, socket});
}

void SimRing::Arm(OpTag tag, int socket, BufferGroup group, bool zero_copy) {
  Socket& on = sockets_.at(socket);
  if (on.armed) Violation("two receives on one socket");
  on.armed = true;
  on.tag = tag;
  on.group = group;
  on.zero_copy = zero_copy;
}

void SimRing::ReceiveMultishot(OpTag tag, int socket, BufferGroup group) {
  Arm(tag, socket, group, false);
}

void SimRing::ReceiveZeroCopy(OpTag tag, int socket) {
  SLUICE_CHECK(area_ != nullptr);
  Arm(tag, socket, 0, true);
}

void SimRing::Cancel(OpTag target) {
  for (auto& [fd, listener] : listeners_) {
    if (listener.armed && listener.tag == target) {
      listener.armed = false;
      Complete(target, -ECANCELED);
    }
  }
  for (auto& [fd, socket] : sockets_) {
    if (!socket.armed || socket.tag != target) continue;
    if (socket.zero_copy) {
      pending_cancels_.push_back(fd);
    } else {
      End(socket, -ECANCELED);
    }
  }
  for (auto at = pending_connects_.begin(); at != pending_connects_.end(); ++at) {
    if (at->tag == target) {
      pending_connects_.erase(at);
      return Complete(target, -ECANCELED);
    }
  }
}

absl::StatusOr<int> SimRing::OpenSocket(const SocketAddress&) {
  const int socket = world_->NewDescriptor();
  sockets_[socket];
  return socket;
}

SocketAddress SimRing::PeerAddress(int socket) {
  return AddressOf(1, static_cast<uint16_t>(sockets_.at(socket).peer));
}

SocketAddress SimRing::LocalAddress(int) { return AddressOf(2, 9000); }

void SimRing::ShutdownReceive(int socket) {
  Socket& on = sockets_.at(socket);
  if (on.peer != 0) peers_.at(on.peer).shut_down = true;
}

void SimRing::CloseSocket(int socket) {
  if (listeners_.erase(socket) != 0) return;
  const auto found = sockets_.find(socket);
  SLUICE_CHECK(found != sockets_.end());
  if (found->second.armed) Violation("a socket was closed under a receive");
  std::erase(pending_cancels_, socket);
  if (found->second.peer != 0) {
    Peer& peer = peers_.at(found->second.peer);
    peer.gone = true;
    for (const Packet& packet : peer.packets) {
      if (packet.lies == Packet::Lies::kPlaced) area_->Drop(packet.place);
    }
    peer.packets.clear();
  }
  sockets_.erase(found);
}

absl::Status SimRing::OpenBufferGroup(BufferGroup group, uint32_t entries) {
  SLUICE_CHECK(entries != 0 && (entries & (entries - 1)) == 0);
  groups_[group].entries = entries;
  return absl::OkStatus();
}

void SimRing::ProvideBuffer(BufferGroup group, uint16_t id, std::span<std::byte> memory) {
  Group& to = groups_.at(group);
  if (to.buffers.size() == to.entries) Violation("more buffers than the group holds");
  for (const Group::Buffer& buffer : to.buffers) {
    if (buffer.id == id) Violation("a buffer was provided twice");
  }
  for (const auto& [other, there] : groups_) {
    for (const Group::Buffer& buffer : there.buffers) {
      if (memory.data() < buffer.memory.data() + buffer.memory.size() &&
          buffer.memory.data() < memory.data() + memory.size()) {
        Violation("memory was provided twice");
      }
    }
  }
  // Whoever reads these bytes after this has given them away too early.
  std::fill(memory.begin(), memory.end(), std::byte{0xDD});
  to.buffers.push_back({id, memory});
}

void SimRing::CloseBufferGroup(BufferGroup group) { groups_.erase(group); }

absl::StatusOr<RefillRing> SimRing::OpenInterfaceQueue(const InterfaceQueueOptions& options) {
  SLUICE_CHECK(area_ == nullptr);
  if (!queue_.refusal.ok()) return queue_.refusal;
  if (options.interface.empty() && !queue_.can_flush) {
    return absl::FailedPreconditionError("this kernel has no device-less queues");
  }
  event_tag_ = options.event_tag;
  area_ = std::make_unique<SimArea>(
      options, queue_,
      SimArea::Hooks{
          .roll = [this](uint64_t below) { return Roll(below); },
          .violation = [this](std::string what) { Violation(std::move(what)); },
          .is_being_written =
              [this](std::span<const std::byte> memory) { return IsBeingWritten(memory); },
      });
  return area_->refill_ring();
}

void SimRing::FlushRefill() {
  SLUICE_CHECK(area_ != nullptr);
  if (!queue_.can_flush) return Violation("a flush, which this kernel does not know");
  area_->TakeRefill(UINT32_MAX);
}

void SimRing::ArmEvent(zcrx::Event type) { area_->Arm(type); }

uint32_t SimRing::IncomingNapi(int socket) {
  const int peer = sockets_.at(socket).peer;
  return peer == 0 ? 0 : peers_.at(peer).route.napi;
}

void SimRing::SendEvent(zcrx::Event type) {
  if (area_->Fire(type)) Complete(event_tag_, static_cast<int32_t>(type));
}

absl::Status SimRing::RegisterMemory(std::span<std::byte>) { return absl::OkStatus(); }

void SimRing::Write(OpTag tag, int file, FileOffset at, std::span<const iovec> ranges) {
  PendingWrite write{tag, file, at.value,    {ranges.begin(), ranges.end()},
                     {},  {},   SlowUntil(), false};
  for (const iovec& range : write.ranges) {
    const std::span memory(static_cast<const std::byte*>(range.iov_base), range.iov_len);
    if (const std::string fixed = area_ == nullptr ? "" : area_->Fixed(memory); !fixed.empty()) {
      write.fixed.resize(write.content.size(), '1');
      write.fixed += fixed;
    }
    write.content.append(static_cast<const char*>(range.iov_base), range.iov_len);
  }
  if (!write.fixed.empty()) write.fixed.resize(write.content.size(), '1');
  CheckWrite(write);
  pending_writes_.push_back(std::move(write));
}

void SimRing::CheckWrite(const PendingWrite& write) {
  const auto at = [&write](size_t i) {
    return reinterpret_cast<uintptr_t>(write.ranges[i].iov_base);
  };
  if (write.at % device_.offset_align != 0) Violation(absl::StrCat("file offset ", write.at));
  if (write.content.size() % device_.offset_align != 0 || write.content.empty()) {
    Violation(absl::StrCat("total length ", write.content.size()));
  }
  if (write.content.size() > device_.write_bytes_max) {
    Violation(absl::StrCat("a write of ", write.content.size(), " bytes"));
  }
  if (write.ranges.size() > device_.ranges_max) Violation("too many ranges");
  for (size_t i = 0; i < write.ranges.size(); ++i) {
    const iovec& range = write.ranges[i];
    if (at(i) % device_.memory_align != 0 || range.iov_len % device_.memory_align != 0 ||
        range.iov_len == 0) {
      Violation(absl::StrCat("range of ", range.iov_len, " bytes at address ", at(i)));
    }
    if (i > 0 && (at(i) & device_.virt_boundary) != 0) Violation("a gap at the start of a range");
    if (i + 1 < write.ranges.size() && ((at(i) + range.iov_len) & device_.virt_boundary) != 0) {
      Violation("a gap at the end of a range");
    }
  }
}

void SimRing::CheckUnchanged(const PendingWrite& write, const std::string& now) {
  bool changed = false;
  if (write.fixed.empty()) changed = now != write.content;
  for (size_t i = 0; i < write.fixed.size() && !changed; ++i) {
    changed = write.fixed[i] == '1' && now[i] != write.content[i];
  }
  if (changed) Violation("memory changed while it was being written");
}

bool SimRing::IsBeingWritten(std::span<const std::byte> memory) const {
  for (const PendingWrite& write : pending_writes_) {
    for (const iovec& range : write.ranges) {
      const auto* const begin = static_cast<const std::byte*>(range.iov_base);
      if (begin < memory.data() + memory.size() && memory.data() < begin + range.iov_len) {
        return true;
      }
    }
  }
  return false;
}

void SimRing::SyncData(OpTag tag, int file) {
  SLUICE_CHECK(disk_->Has(file));
  pending_syncs_.push_back({tag, file, disk_->writes(), SlowUntil()});
}

// Time stops there, so that it does not pass by unseen.
absl::Duration SimRing::SlowUntil() {
  if (!OneIn(faults_.slow)) return world_->now();
  const absl::Duration pause =
      absl::Microseconds(1 + Roll(static_cast<uint64_t>(absl::ToInt64Microseconds(kSlowMax))));
  world_->After(pause, [] {});
  return world_->now() + pause;
}

void SimRing::StallDisk(absl::Duration time) {
  disk_stalls_until_ = world_->now() + time;
  if (time < absl::InfiniteDuration()) After(time, [] {});  // so that time stops there
}

void SimRing::BreakFile(int file, bool writes, bool syncs) {
  if (writes) unwritable_files_.insert(file);
  if (syncs) unsyncable_files_.insert(file);
}

void SimRing::StallFile(int file, bool stalls) {
  if (stalls) {
    stalled_files_.insert(file);
  } else {
    stalled_files_.erase(file);
  }
}

// ---- time passes

void SimRing::SubmitAndWait(absl::Duration timeout) {
  CancelReceives();
  if (own_world_ == nullptr) {
    const bool has_slept = sleeps_until_ && *sleeps_until_ <= world_->now();
    if (std::exchange(woken_, false) || has_slept || !ready_.empty()) return sleeps_until_.reset();
    sleeps_until_ =
        std::min(sleeps_until_.value_or(absl::InfiniteDuration()), world_->now() + timeout);
    return;
  }
  const absl::Duration end = world_->now() + timeout;
  // How much happens before the lane looks is chance too.
  uint64_t wanted = 1 + Roll(8);
  while (wanted > 0) {
    const size_t before = ready_.size();
    world_->Pass(absl::Nanoseconds(Roll(absl::ToInt64Nanoseconds(kStepMax))));
    world_->RunTimers();
    if (woken_) break;
    if (!Step()) {
      // Nothing can happen before the next timer, or until the lane does something.
      if (!ready_.empty()) break;
      world_->PassUntil(std::min(end, world_->next_timer()));
      world_->RunTimers();
      if (world_->now() >= end) break;
      continue;
    }
    if (ready_.size() > before) --wanted;
    if (world_->now() >= end) break;
  }
  woken_ = false;
}

absl::Duration SimRing::WakesAt() const {
  if (!sleeps_until_ || woken_ || !ready_.empty()) return absl::ZeroDuration();
  return *sleeps_until_;
}

std::span<const Completion> SimRing::Harvest() {
  harvest_ = std::exchange(ready_, {});
  area_completions_ready_ = 0;
  return harvest_;
}

bool SimRing::Step() {
  using Kind = bool (SimRing::*)();
  std::vector<Kind> kinds = {&SimRing::Arrive,       &SimRing::ServeAccept, &SimRing::ServeReceive,
                             &SimRing::ServeConnect, &SimRing::ServeWrite,  &SimRing::ServeSync};
  if (area_ != nullptr && area_->has_device()) kinds.push_back(&SimRing::ServeRefill);
  std::shuffle(kinds.begin(), kinds.end(), world_->dice());
  for (const Kind kind : kinds) {
    if ((this->*kind)()) return true;
  }
  return false;
}

bool SimRing::Arrive() {
  std::vector<Peer*> can;
  for (auto& [fd, socket] : sockets_) {
    if (socket.peer == 0) continue;
    Peer& peer = peers_.at(socket.peer);
    if (!peer.shut_down && peer.arrived < peer.bytes.size() &&
        peer.sends_again_at <= world_->now() && peer.arrived - peer.delivered < kSocketBuffer) {
      can.push_back(&peer);
    }
  }
  if (can.empty()) return false;
  Peer& peer = *can[Roll(can.size())];
  const uint64_t room =
      std::min(peer.bytes.size() - peer.arrived, kSocketBuffer - (peer.arrived - peer.delivered));
  uint64_t piece = OneIn(4) ? 1 + Roll(16) : 1 + Roll(kSocketBuffer);
  if (queue_.packet_bytes != 0) piece = kSocketBuffer;
  if (area_ == nullptr) {
    peer.arrived += std::min(room, piece);
    return true;
  }
  if (peer.route.foreign_from == UINT64_MAX && OneIn(faults_.foreign)) {
    peer.route.foreign_from = peer.arrived;
    peer.route.foreign_is_readable = OneIn(faults_.foreign_readable);
  }
  if (area_->has_device()) {
    ArriveThroughDevice(peer, std::min(room, piece));
  } else {
    peer.arrived += std::min(room, piece);
  }
  return true;
}

void SimRing::ArriveThroughDevice(Peer& peer, uint64_t piece) {
  while (piece > 0) {
    bool dropped = false;
    const Packet packet = NextPacket(peer, piece, &dropped);
    if (dropped) {
      SendEvent(zcrx::Event::kAllocationFailed);
      const absl::Duration pause = absl::Microseconds(200 + Roll(5000));
      peer.sends_again_at = world_->now() + pause;
      return After(pause, [] {});  // so that time stops there
    }
    peer.packets.push_back(packet);
    peer.arrived += packet.length;
    piece -= packet.length;
  }
}

SimRing::Packet SimRing::NextPacket(const Peer& peer, uint64_t most, bool* dropped) {
  Packet packet{Packet::Lies::kInKernelPages, peer.arrived, most, {}};
  if (peer.arrived >= peer.route.foreign_from) return packet;
  most = std::min(most, peer.route.foreign_from - peer.arrived);
  if (OneIn(faults_.linear)) {
    packet.lies = Packet::Lies::kLinear;
    packet.length = std::min(most, 1 + Roll(256));
    return packet;
  }
  if (!peer.route.steered || !peer.route.plain_tcp || OneIn(faults_.not_placed)) {
    packet.length = std::min<uint64_t>(most, 1 + Roll(2 * SimArea::kPage));
    return packet;
  }
  const uint64_t lengths[] = {1448, SimArea::kPage, 1 + Roll(64), 1 + Roll(SimArea::kPage)};
  packet.length = queue_.packet_bytes != 0 ? queue_.packet_bytes : lengths[Roll(4)];
  packet.length = std::min(most, packet.length);
  const std::string_view bytes(peer.bytes.data() + peer.arrived, packet.length);
  const auto place = OneIn(faults_.no_page)     ? std::nullopt
                     : queue_.packet_bytes != 0 ? area_->PlaceInOrder(bytes)
                                                : area_->PlaceByDevice(bytes);
  *dropped = !place;
  if (*dropped) return packet;
  packet.lies = Packet::Lies::kPlaced;
  packet.place = *place;
  packet.length = place->length;
  return packet;
}

bool SimRing::ServeRefill() {
  // Not at once, so that the ring is also seen full.
  return Roll(4) == 0 && area_->TakeRefill(static_cast<uint32_t>(1 + Roll(64))) > 0;
}

bool SimRing::ServeAccept() {
  for (auto& [fd, listener] : listeners_) {
    if (!listener.armed || listener.backlog.empty()) continue;
    if (OneIn(faults_.accept_error)) {
      listener.armed = false;
      Complete(listener.tag, -EMFILE);
      return true;
    }
    const int socket = world_->NewDescriptor();
    sockets_[socket].peer = listener.backlog.front();
    listener.backlog.pop_front();
    const bool more = !OneIn(faults_.end_of_multishot);
    listener.armed = more;
    Complete(listener.tag, socket, more ? Completion::kMore : 0);
    return true;
  }
  return false;
}

bool SimRing::CanReceive(const Socket& socket) const {
  if (!socket.armed) return false;
  const Peer& peer = peers_.at(socket.peer);
  const bool all_sent = peer.delivered == peer.bytes.size() && peer.end != PeerEnd::kStay;
  const bool refused = socket.zero_copy && !peer.route.plain_tcp;
  return peer.arrived > peer.delivered || all_sent || peer.shut_down || refused;
}

bool SimRing::ServeReceive() {
  std::vector<int> can;
  for (const auto& [fd, socket] : sockets_) {
    if (CanReceive(socket)) can.push_back(fd);
  }
  if (can.empty()) return false;
  Receive(sockets_.at(can[Roll(can.size())]));
  return true;
}

void SimRing::Receive(Socket& socket) {
  Peer& peer = peers_.at(socket.peer);
  if (socket.zero_copy && !peer.route.plain_tcp) {
    End(socket, -EPROTONOSUPPORT);
  } else if (peer.arrived == peer.delivered) {
    const bool reset = peer.end == PeerEnd::kReset && peer.delivered == peer.bytes.size();
    End(socket, reset ? -ECONNRESET : 0);
  } else if (socket.zero_copy) {
    ReceiveFromArea(socket, peer);
  } else {
    ReceiveCopying(socket, peer);
  }
}

// A cancellation is submitted with everything else: what has come meanwhile comes first.
void SimRing::CancelReceives() {
  for (const int fd : std::exchange(pending_cancels_, {})) {
    Socket& socket = sockets_.at(fd);
    if (CanReceive(socket) && Roll(2) == 0) Receive(socket);
    if (socket.armed) End(socket, -ECANCELED);
  }
}

void SimRing::End(Socket& socket, int32_t result) {
  socket.armed = false;
  Complete(socket.tag, result);
}

// How much of what has arrived is neither in a page of the area nor in another queue's memory.
uint64_t SimRing::PlainlyReadable(const Peer& peer) const {
  uint64_t end = peer.arrived;
  if (!peer.route.foreign_is_readable) end = std::min(end, peer.route.foreign_from);
  for (const Packet& packet : peer.packets) {
    if (packet.lies == Packet::Lies::kPlaced) end = std::min(end, packet.begin);
  }
  return end - std::min(end, peer.delivered);
}

// The next bytes have been handed over, not from beyond a packet that was placed.
void SimRing::Consume(Peer& peer, uint64_t length) {
  peer.delivered += length;
  while (!peer.packets.empty() &&
         peer.packets.front().begin + peer.packets.front().length <= peer.delivered) {
    peer.packets.pop_front();
  }
}

void SimRing::ReceiveCopying(Socket& socket, Peer& peer) {
  Group& group = groups_.at(socket.group);
  if (group.buffers.empty()) return End(socket, -ENOBUFS);
  const uint64_t available = PlainlyReadable(peer);
  if (available == 0) return End(socket, -EFAULT);
  Group::Buffer& buffer = group.buffers.front();
  uint64_t length = std::min<uint64_t>(available, buffer.memory.size());
  if (queue_.packet_bytes != 0) length = std::min<uint64_t>(length, queue_.packet_bytes);
  std::memcpy(buffer.memory.data(), peer.bytes.data() + peer.delivered, length);
  Consume(peer, length);
  uint32_t flags = Completion::kHasBuffer | static_cast<uint32_t>(buffer.id)
                                                << Completion::kBufferShift;
  buffer.memory = buffer.memory.subspan(length);
  if (buffer.memory.empty()) {
    group.buffers.pop_front();
  } else {
    flags |= Completion::kBufferMore;
  }
  socket.armed = !OneIn(faults_.end_of_multishot);
  if (socket.armed) flags |= Completion::kMore;
  const bool can_be_lost = socket.armed && (flags & Completion::kBufferMore) != 0;
  if (can_be_lost && OneIn(lies_.receive_lost)) return;
  Complete(socket.tag, static_cast<int32_t>(length), flags);
}

void SimRing::ReceiveFromArea(Socket& socket, Peer& peer) {
  for (uint64_t left = 1 + Roll(20); left > 0 && peer.arrived > peer.delivered; --left) {
    if (const int error = DeliverFromArea(socket, peer); error != 0) return End(socket, -error);
  }
}

int SimRing::DeliverFromArea(Socket& socket, Peer& peer) {
  if (area_completions_ready_ >= queue_.completions_max || OneIn(faults_.queue_full)) {
    return ENOSPC;
  }
  if (peer.delivered >= peer.route.foreign_from) return EFAULT;
  std::optional<SimArea::Place> place;
  if (!peer.packets.empty() && peer.packets.front().begin == peer.delivered &&
      peer.packets.front().lies == Packet::Lies::kPlaced) {
    place = peer.packets.front().place;
  } else {
    place = CopyIntoArea(peer);
    if (!place) return ENOMEM;
  }
  Consume(peer, place->length);
  ready_.push_back(
      {socket.tag, static_cast<int32_t>(place->length), Completion::kMore, area_->Deliver(*place)});
  ++area_completions_ready_;
  return 0;
}

// Copies at most a page, and not beyond what lies together.
std::optional<SimArea::Place> SimRing::CopyIntoArea(Peer& peer) {
  uint64_t end = std::min(peer.arrived, peer.route.foreign_from);
  bool counted = !area_->has_device();
  if (!peer.packets.empty()) {
    const Packet& next = peer.packets.front();
    const bool is_inside = next.begin <= peer.delivered;
    end = std::min(end, is_inside ? next.begin + next.length : next.begin);
    counted = is_inside && next.lies == Packet::Lies::kInKernelPages;
  }
  uint64_t length = end - peer.delivered;
  if (!area_->has_device()) {
    const uint64_t lengths[] = {SimArea::kPage, SimArea::kPage, 1448, 1 + Roll(SimArea::kPage)};
    length = std::min(length, lengths[Roll(4)]);
  } else if (OneIn(faults_.no_page)) {
    return std::nullopt;
  }
  const auto place = area_->Copy(std::string_view(peer.bytes).substr(peer.delivered, length));
  if (place && counted) {
    area_->CountCopy(place->length);
    SendEvent(zcrx::Event::kCopied);
  }
  return place;
}

bool SimRing::ServeConnect() {
  if (pending_connects_.empty()) return false;
  const PendingConnect connect = pending_connects_.front();
  pending_connects_.erase(pending_connects_.begin());
  if (dialled_.empty()) {
    Complete(connect.tag, -ECONNREFUSED);
    return true;
  }
  sockets_.at(connect.socket).peer = dialled_.front();
  dialled_.pop_front();
  Complete(connect.tag, 0);
  return true;
}

// What memory holds now.
std::string SimRing::ContentOf(const PendingWrite& write) {
  std::string content;
  content.reserve(write.content.size());
  for (const iovec& range : write.ranges) {
    content.append(static_cast<const char*>(range.iov_base), range.iov_len);
  }
  return content;
}

bool SimRing::ServeWrite() {
  if (world_->now() < disk_stalls_until_) return false;
  std::vector<size_t> can;
  for (size_t i = 0; i < pending_writes_.size(); ++i) {
    if (stalled_files_.contains(pending_writes_[i].file)) continue;
    if (pending_writes_[i].not_before <= world_->now()) can.push_back(i);
  }
  if (can.empty()) return false;
  const size_t pick = can[Roll(can.size())];
  const PendingWrite write = std::move(pending_writes_[pick]);
  pending_writes_.erase(pending_writes_.begin() + static_cast<int64_t>(pick));

  std::string put = ContentOf(write);
  if (write.was_reported) {
    if (!dead_) disk_->Put(write.file, write.at, put);
    return true;
  }
  CheckUnchanged(write, put);
  if (dead_ || unwritable_files_.contains(write.file)) {
    Complete(write.tag, -EIO);
    return true;
  }
  if (OneIn(lies_.write_reported_early)) {
    Complete(write.tag, static_cast<int32_t>(put.size()));
    pending_writes_.push_back(write);
    pending_writes_.back().was_reported = true;
    pending_writes_.back().not_before = world_->now() + absl::Milliseconds(1);
    world_->After(absl::Milliseconds(1), [] {});
    return true;
  }
  if (OneIn(faults_.again)) {
    Complete(write.tag, Roll(2) == 0 ? -EAGAIN : -EINTR);
    return true;
  }
  if (OneIn(faults_.write_nothing)) {
    Complete(write.tag, 0);
    return true;
  }
  int32_t result = static_cast<int32_t>(put.size());
  if (OneIn(faults_.write_error)) {
    result = Roll(2) == 0 ? -EIO : -ENOSPC;
    put.resize(Roll(put.size() / kSector + 1) * kSector);  // a part may be there all the same
  } else if (OneIn(faults_.short_write)) {
    const uint64_t most = faults_.short_write_max == 0 ? put.size() : faults_.short_write_max;
    result = static_cast<int32_t>((1 + Roll(std::min(most, put.size()) / kSector)) * kSector);
    put.resize(static_cast<size_t>(result));
  }
  const uint64_t end = write.at + put.size();
  const uint64_t size = disk_->Bytes(write.file).size();
  const bool misplaced = end + kBlock <= size && OneIn(lies_.write_misplaced);
  const bool lost = end == size && OneIn(lies_.last_block_lost);
  if (!lost) disk_->Put(write.file, write.at + (misplaced ? kBlock : 0), put);
  Complete(write.tag, result);
  return true;
}

bool SimRing::ServeSync() {
  if (world_->now() < disk_stalls_until_) return false;
  const auto next =
      std::find_if(pending_syncs_.begin(), pending_syncs_.end(),
                   [this](const PendingSync& sync) { return !stalled_files_.contains(sync.file); });
  if (next == pending_syncs_.end() || next->not_before > world_->now()) return false;
  const PendingSync sync = *next;
  pending_syncs_.erase(next);
  if (dead_) {
    Complete(sync.tag, -EIO);
  } else if (unsyncable_files_.contains(sync.file) || OneIn(faults_.sync_error)) {
    disk_->FailSync(sync.file, sync.covers);
    Complete(sync.tag, -EIO);
  } else {
    if (!OneIn(lies_.sync_does_nothing)) disk_->Sync(sync.file, sync.covers);
    Complete(sync.tag, 0);
  }
  return true;
}

void SimRing::Die() {
  for (PendingWrite& write : pending_writes_) {
    if (Roll(2) == 0) {
      std::string content = ContentOf(write);
      if (Roll(2) == 0) content.resize(Roll(content.size() / kSector + 1) * kSector);
      disk_->Put(write.file, write.at, content);
    }
    write.not_before = world_->now();
  }
  for (PendingSync& sync : pending_syncs_) sync.not_before = world_->now();
  faults_ = {};
  dead_ = true;
  for (auto& [number, peer] : peers_) peer.shut_down = true;
}

}  // namespace sluice
