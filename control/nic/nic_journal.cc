#include "control/nic/nic_journal.h"

#include <fcntl.h>
#include <google/protobuf/text_format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ingest/status_macros.h"
#include "proto/sluice/nic/v1/journal.pb.h"
#include "writer/segment/file_io.h"

namespace sluice {
namespace {

namespace v1 = ::sluice::nic::v1;

constexpr mode_t kFileMode = 0644;
constexpr absl::string_view kLockSuffix = ".lock";
constexpr char kBootId[] = "/proc/sys/kernel/random/boot_id";

std::string BootId() {
  std::ifstream file(kBootId);
  std::string id;
  std::getline(file, id);
  return id;
}

std::string PathOf(const std::string& directory, const std::string& interface) {
  return absl::StrCat(directory, "/", interface);
}

template <class T>
std::string Bytes(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

v1::Indirection ToProto(const Indirection& table) {
  v1::Indirection proto;
  proto.mutable_queue()->Assign(table.begin(), table.end());
  return proto;
}
Indirection FromProto(const v1::Indirection& proto) {
  return Indirection(proto.queue().begin(), proto.queue().end());
}

v1::Rings::HeaderSplit ToProto(HeaderSplit split) {
  if (split == HeaderSplit::kOn) return v1::Rings::ON;
  return split == HeaderSplit::kOff ? v1::Rings::OFF : v1::Rings::AUTO;
}
HeaderSplit FromProto(v1::Rings::HeaderSplit split) {
  if (split == v1::Rings::ON) return HeaderSplit::kOn;
  return split == v1::Rings::OFF ? HeaderSplit::kOff : HeaderSplit::kUnknown;
}

v1::State ToProto(const NicState& state) {
  v1::State proto;
  proto.set_interface(state.interface);
  proto.set_driver(state.driver.name);
  if (state.channels) {
    v1::Channels& to = *proto.mutable_channels();
    to.set_receive(state.channels->receive);
    to.set_transmit(state.channels->transmit);
    to.set_combined(state.channels->combined);
    to.set_other(state.channels->other);
    to.set_receive_max(state.channels->receive_max);
    to.set_transmit_max(state.channels->transmit_max);
    to.set_combined_max(state.channels->combined_max);
    to.set_other_max(state.channels->other_max);
  }
  if (state.rings) {
    v1::Rings& to = *proto.mutable_rings();
    const Rings& from = *state.rings;
    if (from.receive) to.set_receive(*from.receive);
    if (from.receive_max) to.set_receive_max(*from.receive_max);
    if (from.transmit) to.set_transmit(*from.transmit);
    if (from.header_split) to.set_header_split(ToProto(*from.header_split));
    if (from.header_split_threshold) to.set_header_split_threshold(*from.header_split_threshold);
    if (from.header_split_threshold_max) {
      to.set_header_split_threshold_max(*from.header_split_threshold_max);
    }
  }
  if (state.ntuple) proto.set_ntuple(*state.ntuple);
  if (state.indirection) *proto.mutable_indirection() = ToProto(*state.indirection);
  for (const auto& [id, table] : state.contexts) (*proto.mutable_contexts())[id] = ToProto(table);
  for (const auto& [location, rule] : state.rules) {
    v1::Rule& to = *proto.add_rules();
    to.set_spec(Bytes(rule.spec));
    to.set_context(rule.context);
  }
  proto.set_rules_max(state.rules_max);
  proto.set_chooses_location(state.chooses_location);
  return proto;
}

template <class T>
std::optional<uint32_t> Given(const T& proto, bool (T::*has)() const, uint32_t (T::*get)() const) {
  return (proto.*has)() ? std::optional<uint32_t>((proto.*get)()) : std::nullopt;
}

// Nothing: it is of another length than this program's.
std::optional<ethtool_rx_flow_spec> SpecOf(const std::string& bytes) {
  ethtool_rx_flow_spec spec = {};
  if (bytes.size() != sizeof(spec)) return std::nullopt;
  std::memcpy(&spec, bytes.data(), sizeof(spec));
  return spec;
}

bool FromProto(const v1::State& proto, NicState* state) {
  state->interface = proto.interface();
  state->driver.name = proto.driver();
  if (proto.has_channels()) {
    const v1::Channels& from = proto.channels();
    state->channels = Channels{.receive = from.receive(),
                               .transmit = from.transmit(),
                               .combined = from.combined(),
                               .other = from.other(),
                               .receive_max = from.receive_max(),
                               .transmit_max = from.transmit_max(),
                               .combined_max = from.combined_max(),
                               .other_max = from.other_max()};
  }
  if (proto.has_rings()) {
    const v1::Rings& from = proto.rings();
    Rings& to = state->rings.emplace();
    to.receive = Given(from, &v1::Rings::has_receive, &v1::Rings::receive);
    to.receive_max = Given(from, &v1::Rings::has_receive_max, &v1::Rings::receive_max);
    to.transmit = Given(from, &v1::Rings::has_transmit, &v1::Rings::transmit);
    if (from.has_header_split()) to.header_split = FromProto(from.header_split());
    to.header_split_threshold =
        Given(from, &v1::Rings::has_header_split_threshold, &v1::Rings::header_split_threshold);
    to.header_split_threshold_max = Given(from, &v1::Rings::has_header_split_threshold_max,
                                          &v1::Rings::header_split_threshold_max);
  }
  if (proto.has_ntuple()) state->ntuple = proto.ntuple();
  if (proto.has_indirection()) state->indirection = FromProto(proto.indirection());
  for (const auto& [id, table] : proto.contexts()) state->contexts[id] = FromProto(table);
  for (const v1::Rule& from : proto.rules()) {
    const auto spec = SpecOf(from.spec());
    if (!spec) return false;
    state->rules[spec->location] = {*spec, from.context()};
  }
  state->rules_max = proto.rules_max();
  state->chooses_location = proto.chooses_location();
  return true;
}

v1::Desired ToProto(const DesiredNic& desired) {
  v1::Desired proto;
  for (const uint32_t queue : desired.zero_copy_queues) proto.add_zero_copy_queue(queue);
  for (const DesiredRule& rule : desired.rules) {
    v1::DesiredRule& to = *proto.add_rule();
    to.set_match(Bytes(RuleToQueue(rule.match, 0).spec));
    if (rule.to_queue) to.set_to_queue(*rule.to_queue);
  }
  if (desired.receive_queues) proto.set_receive_queues(*desired.receive_queues);
  if (desired.ring_size) proto.set_ring_size(*desired.ring_size);
  return proto;
}

bool FromProto(const v1::Desired& proto, DesiredNic* desired) {
  desired->zero_copy_queues.insert(proto.zero_copy_queue().begin(), proto.zero_copy_queue().end());
  for (const v1::DesiredRule& from : proto.rule()) {
    const auto spec = SpecOf(from.match());
    if (!spec) return false;
    const std::optional<FlowMatch> match = FlowRule{*spec, 0}.match();
    if (!match) return false;
    desired->rules.push_back(
        {*match, Given(from, &v1::DesiredRule::has_to_queue, &v1::DesiredRule::to_queue)});
  }
  desired->receive_queues =
      Given(proto, &v1::Desired::has_receive_queues, &v1::Desired::receive_queues);
  desired->ring_size = Given(proto, &v1::Desired::has_ring_size, &v1::Desired::ring_size);
  return true;
}

v1::Journal::Phase ToProto(NicJournalEntry::Phase phase) {
  switch (phase) {
    case NicJournalEntry::Phase::kApplying:
      return v1::Journal::APPLYING;
    case NicJournalEntry::Phase::kApplied:
      return v1::Journal::APPLIED;
    case NicJournalEntry::Phase::kReverting:
      break;
  }
  return v1::Journal::REVERTING;
}

absl::Status Damaged(const std::string& path) {
  return absl::DataLossError(absl::StrCat(
      path,
      " is damaged, so what the interface was before is not known: set it as it should be "
      "with ethtool, and remove the file"));
}

absl::StatusOr<std::optional<NicJournalEntry>> ReadEntry(const std::string& path,
                                                         const std::string& interface) {
  std::ifstream file(path);
  if (!file) {
    if (errno == ENOENT) return std::nullopt;
    return FileError("open", path, errno);
  }
  std::stringstream text;
  text << file.rdbuf();
  v1::Journal proto;
  if (!google::protobuf::TextFormat::ParseFromString(text.str(), &proto)) return Damaged(path);
  if (proto.boot_id() != BootId()) return std::nullopt;
  NicJournalEntry entry;
  switch (proto.phase()) {
    case v1::Journal::APPLYING:
      entry.phase = NicJournalEntry::Phase::kApplying;
      break;
    case v1::Journal::APPLIED:
      entry.phase = NicJournalEntry::Phase::kApplied;
      break;
    case v1::Journal::REVERTING:
      entry.phase = NicJournalEntry::Phase::kReverting;
      break;
    default:
      return Damaged(path);
  }
  entry.desired.interface = interface;
  if (!FromProto(proto.original(), &entry.original) ||
      !FromProto(proto.desired(), &entry.desired) || entry.original.interface != interface) {
    return Damaged(path);
  }
  return entry;
}

absl::Status SyncDirectoryOf(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path();
  const UniqueFd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return FileError("open", directory, errno);
  return fsync(fd.get()) == 0 ? absl::OkStatus() : FileError("fsync", directory, errno);
}

}  // namespace

absl::StatusOr<std::unique_ptr<NicJournal>> NicJournal::Open(const std::string& directory,
                                                             const std::string& interface) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return FileError("make directory", directory, error.value());
  const std::string path = PathOf(directory, interface);
  const std::string lock_path = absl::StrCat(path, kLockSuffix);
  UniqueFd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode));
  if (lock.get() < 0) return FileError("open", lock_path, errno);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::UnavailableError(absl::StrCat("another program is changing ", interface,
                                               " now, and has locked ", lock_path, ": try again"));
  }
  return std::unique_ptr<NicJournal>(new NicJournal(path, lock.release()));
}

std::vector<std::string> NicJournal::Interfaces(const std::string& directory) {
  std::set<std::string> names;
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(directory, ignored)) {
    // Each has its lock. Interfaces' names may have dots.
    const std::string name = file.path().filename();
    if (absl::EndsWith(name, kLockSuffix)) {
      names.insert(name.substr(0, name.size() - kLockSuffix.size()));
    }
  }
  return {names.begin(), names.end()};
}

NicJournal::~NicJournal() { close(lock_); }

absl::StatusOr<std::optional<NicJournalEntry>> NicJournal::Read() const {
  return ReadEntry(path_, std::filesystem::path(path_).filename());
}

absl::Status NicJournal::Write(const NicJournalEntry& entry) {
  v1::Journal proto;
  proto.set_boot_id(BootId());
  proto.set_phase(ToProto(entry.phase));
  *proto.mutable_original() = ToProto(entry.original);
  *proto.mutable_desired() = ToProto(entry.desired);
  std::string text;
  if (!google::protobuf::TextFormat::PrintToString(proto, &text)) {
    return absl::InternalError("print the journal");
  }
  const std::string temporary = path_ + ".new";
  const UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kFileMode));
  if (fd.get() < 0) return FileError("open", temporary, errno);
  SLUICE_RETURN_IF_ERROR(WriteFully(
      fd.get(), temporary, {0}, {reinterpret_cast<const std::byte*>(text.data()), text.size()}));
  if (fsync(fd.get()) != 0) return FileError("fsync", temporary, errno);
  if (rename(temporary.c_str(), path_.c_str()) != 0) return FileError("rename to", path_, errno);
  return SyncDirectoryOf(path_);
}

absl::Status NicJournal::Remove() {
  if (unlink(path_.c_str()) != 0 && errno != ENOENT) return FileError("remove", path_, errno);
  return SyncDirectoryOf(path_);
}

absl::StatusOr<std::optional<NicJournalEntry>> ReadNicJournal(const std::string& directory,
                                                              const std::string& interface) {
  return ReadEntry(PathOf(directory, interface), interface);
}

}  // namespace sluice
