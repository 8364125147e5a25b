#include "control/config/serve_config.h"

#include <google/protobuf/util/field_mask_util.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/config/age.h"
#include "control/config/config_text.h"
#include "control/config/recording_rules.h"
#include "control/config/size.h"
#include "control/nic/nic_journal.h"
#include "ingest/receive/socket_address.h"
#include "ingest/status_macros.h"
#include "proto/sluice/config/v1/config.pb.h"

namespace sluice {
namespace {

using Place = ConfigText::Place;
namespace pb = config::v1;

constexpr ByteCount kVerifyRateDefault = MiB(50);
constexpr uint32_t kLanesMax = 64;
constexpr ByteCount kRegionMin = MiB(4);
constexpr ByteCount kRegionDefault = MiB(64);
constexpr size_t kSocketPathMax = sizeof(sockaddr_un::sun_path) - 1;

// A size, or zero when it is not there or wrong; what is wrong is noted.
ByteCount ReadSize(const Place& place, absl::string_view field, const std::string& text) {
  const absl::StatusOr<ByteCount> size = ParseSize(text);
  if (!size.ok()) {
    place.Wrong(field, absl::StrCat(field, ": ", size.status().message()));
    return {};
  }
  if (size->value == 0) place.Wrong(field, absl::StrCat(field, " must not be zero"));
  return *size;
}

void ReadArchive(const Place& place, const pb::Archive& from, ArchiveOptions* to) {
  if (from.directory().empty()) {
    place.Wrong("directory", "archive needs a directory, such as \"/var/lib/sluice\"");
  }
  to->directory = from.directory();
  if (from.has_capacity()) to->capacity = ReadSize(place, "capacity", from.capacity());
  if (from.has_segment_size()) {
    to->segment = ReadSize(place, "segment_size", from.segment_size());
  }
  for (int i = 0; i < from.disk_size(); ++i) {
    const Place disk = place.Sub("disk", i);
    if (from.disk(i).directory().empty()) {
      disk.Wrong("directory", "disk needs a directory, such as \"/mnt/b/sluice\"");
    }
    DiskOptions& one = to->disks.emplace_back();
    one.directory = from.disk(i).directory();
    if (from.disk(i).has_capacity()) {
      one.capacity = ReadSize(disk, "capacity", from.disk(i).capacity());
    }
  }
  if (to->capacity.value > 0 && to->segment > to->capacity) {
    place.Wrong("segment_size",
                absl::StrCat("segment_size ", FormatSize(to->segment),
                             " is more than the capacity of ", FormatSize(to->capacity)));
  }
}

std::string ReadSocket(const Place& root, const pb::Config& from) {
  const bool given = from.api().has_unix_socket();
  std::string path = from.api().unix_socket();
  if (!given) {
    if (from.archive().directory().empty()) return "";  // noted already
    path = (std::filesystem::absolute(from.archive().directory()) / "sluice.sock").string();
  }
  const Place place = given ? root.Sub("api") : root.Sub("archive");
  const absl::string_view field = given ? "unix_socket" : "directory";
  if (path.empty() || path.front() != '/') {
    place.Wrong(field, absl::StrCat("unix_socket \"", path, "\" must be an absolute path"));
  } else if (path.size() > kSocketPathMax) {
    place.Wrong(field, absl::StrCat("the socket's path ", path, " has ", path.size(),
                                    " bytes, and Unix sockets allow ", kSocketPathMax,
                                    "; set a shorter one: api { unix_socket: ... }"));
  }
  return path;
}

std::optional<absl::Duration> ReadDuration(const Place& place, absl::string_view field,
                                           const std::string& text) {
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration)) return duration;
  place.Wrong(field, absl::StrCat(field, ": \"", text,
                                  "\" is not a duration, such as \"500ms\" or \"1s\""));
  return std::nullopt;
}

absl::Duration ReadInterval(const Place& place, absl::string_view field, const std::string& text) {
  const std::optional<absl::Duration> interval = ReadDuration(place, field, text);
  if (!interval) return {};
  if (const absl::Status status = CheckInterval(field, *interval); !status.ok()) {
    place.Wrong(field, status.message());
  }
  return *interval;
}

void ReadStallLimit(const Place& place, const std::string& text, RecorderOptions* to) {
  const std::optional<absl::Duration> limit = ReadDuration(place, "stall_limit", text);
  if (!limit) return;
  to->stall_limit = *limit;
  if (const absl::Status status = CheckStallLimit("stall_limit", *limit); !status.ok()) {
    place.Wrong("stall_limit", status.message());
  }
}

BackPressure BackPressureOf(pb::Recording::BackPressure from) {
  switch (from) {
    case pb::Recording::DROP_NEWEST:
      return BackPressure::kDropNewest;
    case pb::Recording::DROP_OLDEST:
      return BackPressure::kDropOldest;
    default:
      return BackPressure::kLossless;
  }
}

SocketAddress ReadAddress(const Place& place, const std::string& text) {
  if (text.empty()) {
    place.Wrong("address", "address is missing, such as \"0.0.0.0:9000\"");
    return {};
  }
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(text);
  if (address.ok()) return *address;
  place.Wrong("address", absl::StrCat("address: ", address.status().message()));
  return {};
}

void ReadSource(const Place& place, const pb::Recording& from, RecordingSpec* to) {
  switch (from.source_case()) {
    case pb::Recording::kTcpListen:
      to->source = SourceKind::kTcpListen;
      to->address = ReadAddress(place.Sub("tcp_listen"), from.tcp_listen().address());
      return;
    case pb::Recording::kTcpConnect: {
      const Place source = place.Sub("tcp_connect");
      to->source = SourceKind::kTcpConnect;
      to->address = ReadAddress(source, from.tcp_connect().address());
      if (to->address.family != 0 && to->address.port == 0) {
        source.Wrong("address", "address: port 0 cannot be connected to");
      }
      return;
    }
    case pb::Recording::SOURCE_NOT_SET:
      place.Wrong(absl::StrCat("recording \"", from.id(),
                               "\" needs a source: tcp_listen { address: ... } or "
                               "tcp_connect { address: ... }"));
      return;
  }
}

RecordingSpec ReadRecording(const Place& place, const pb::Recording& from) {
  RecordingSpec to;
  to.id = from.id();
  if (const absl::Status status = CheckRecordingId(to.id); !status.ok()) {
    place.Wrong("id", status.message());
  }
  ReadSource(place, from, &to);
  if (from.has_payload_crc()) to.payload_crc = from.payload_crc();
  if (from.has_flush_interval()) {
    to.flush_interval = ReadInterval(place, "flush_interval", from.flush_interval());
  }
  if (from.has_sync_interval()) {
    to.sync_interval = ReadInterval(place, "sync_interval", from.sync_interval());
  }
  to.back_pressure = BackPressureOf(from.back_pressure());
  if (from.has_lag_limit()) {
    const std::optional<absl::Duration> limit = ReadDuration(place, "lag_limit", from.lag_limit());
    if (!limit) return to;
    to.lag_limit = *limit;
    if (const absl::Status status = CheckLagLimit("lag_limit", *limit, to.back_pressure);
        !status.ok()) {
      place.Wrong("lag_limit", status.message());
    }
  }
  return to;
}

absl::Duration ReadAge(const Place& place, const std::string& text) {
  absl::Duration age;
  if (absl::ParseDuration(text, &age) && age >= absl::Seconds(1)) return age;
  place.Wrong("max_age", absl::StrCat("max_age: \"", text,
                                      "\" is not a duration of at least 1s, such as \"720h\""));
  return absl::InfiniteDuration();
}

RetentionClass ReadClass(const Place& place, const pb::RetentionClass& from) {
  RetentionClass to;
  to.name = from.name();
  if (!CheckRecordingId(to.name).ok()) {
    place.Wrong("name",
                absl::StrCat("a retention class needs a name of lower-case letters, digits ",
                             "and hyphens, such as \"evidence\", not \"", to.name, "\""));
  }
  to.priority = from.priority();
  if (from.has_quota()) to.quota = ReadSize(place, "quota", from.quota());
  if (from.has_max_age()) to.max_age = ReadAge(place, from.max_age());
  if (from.has_reserve()) to.reserve = ReadSize(place, "reserve", from.reserve());
  return to;
}

// The class that a recording names has to be there.
void CheckClass(const Place& place, const std::string& name,
                const std::vector<RetentionClass>& classes) {
  if (name.empty() || name == kDefaultClass) return;
  for (const RetentionClass& rule : classes) {
    if (rule.name == name) return;
  }
  place.Wrong("retention_class",
              absl::StrCat("retention_class \"", name,
                           "\" is not defined: retention_class { name: \"", name, "\" ... }"));
}

// Ids and listening addresses are for one recording each.
class Taken {
 public:
  void Check(const Place& place, const RecordingSpec& spec) {
    const auto [id, id_is_new] = ids_.try_emplace(spec.id, place.Where("id"));
    if (!id_is_new && !spec.id.empty()) {
      place.Wrong("id",
                  absl::StrCat("recording id \"", spec.id, "\" is taken already, at ", id->second));
    }
    if (spec.source != SourceKind::kTcpListen || spec.address.port == 0) return;
    const Place source = place.Sub("tcp_listen");
    const auto [address, address_is_new] =
        addresses_.try_emplace(spec.address.ToString(), source.Where("address"));
    if (!address_is_new) {
      source.Wrong("address", absl::StrCat("address: ", address->first,
                                           " is listened on already, at ", address->second));
    }
  }

 private:
  std::map<std::string, std::string> ids_;        // and where each was seen
  std::map<std::string, std::string> addresses_;  // likewise
};

void ReadLanes(const Place& root, const pb::Config& from, RecorderOptions* to) {
  if (from.has_lanes()) {
    to->lanes = from.lanes();
    if (to->lanes == 0 || to->lanes > kLanesMax) {
      root.Wrong("lanes",
                 absl::StrCat("lanes is ", to->lanes, ", but must be between 1 and ", kLanesMax));
    }
  }
  to->region = kRegionDefault;
  if (from.has_region_size()) {
    to->region = ReadSize(root, "region_size", from.region_size());
    if (to->region.value > 0 && to->region < kRegionMin) {
      root.Wrong("region_size", absl::StrCat("region_size is ", FormatSize(to->region),
                                             ", but must be at least ", FormatSize(kRegionMin)));
    }
  }
}

void ReadReceiver(const Place& root, const pb::Config& from, RecorderOptions* to) {
  if (!from.has_receiver()) return;
  const Place place = root.Sub("receiver");
  const pb::Receiver& receiver = from.receiver();
  switch (receiver.mode()) {
    case pb::Receiver::ZERO_COPY:
      to->receiver.mode = ReceiverMode::kZeroCopy;
      break;
    case pb::Receiver::DEVICE_LESS:
      to->receiver.mode = ReceiverMode::kDeviceLess;
      break;
    case pb::Receiver::COPY:
      to->receiver.mode = ReceiverMode::kCopy;
      break;
    default:
      to->receiver.mode = ReceiverMode::kAuto;
  }
  to->receiver.interface = receiver.interface();
  to->receiver.queues.assign(receiver.queue().begin(), receiver.queue().end());
  if (receiver.has_area_size()) {
    to->receiver.area = ReadSize(place, "area_size", receiver.area_size());
  }
  const auto plan = PlanReceivers(to->receiver, to->lanes);
  if (!plan.ok()) place.Wrong(std::string(plan.status().message()));
}

void ReadVerify(const Place& place, const pb::Verify& from, ServeConfig* to) {
  const absl::StatusOr<absl::Duration> interval = ParseAge(from.interval());
  if (!interval.ok() || *interval < absl::Seconds(1)) {
    place.Wrong("interval", absl::StrCat("interval: \"", from.interval(),
                                         "\" is not a duration of at least 1s, such as \"7d\""));
  } else {
    to->verify_interval = *interval;
  }
  to->verify_rate = kVerifyRateDefault;
  if (!from.has_rate()) return;
  to->verify_rate = ReadSize(place, "rate", from.rate());
}

// Also fields that come to be later: until somebody makes them change in flight, they count from
// the next start.
std::map<std::string, std::string> FixedFields(const pb::Config& from) {
  static const std::set<std::string> kChangeable = {"recording", "retention_class", "interface"};
  std::map<std::string, std::string> fixed;
  const auto* const type = from.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const std::string& name = type->field(i)->name();
    if (kChangeable.contains(name)) continue;
    pb::Config one;
    google::protobuf::FieldMask mask;
    mask.add_paths(name);
    google::protobuf::util::FieldMaskUtil::MergeMessageTo(from, mask, {}, &one);
    fixed[name] = one.ShortDebugString();
  }
  return fixed;
}

void ReadInterfaces(const Place& root, const pb::Config& from, ServeConfig* to) {
  std::map<std::string, std::string> places;
  for (int i = 0; i < from.interface_size(); ++i) {
    const Place place = root.Sub("interface", i);
    to->interfaces.push_back(ReadInterfaceConfig(place, from.interface(i)));
    const auto [known, is_new] = places.try_emplace(from.interface(i).name(), place.Where("name"));
    if (!is_new) {
      place.Wrong("name", absl::StrCat("interface \"", known->first, "\" is described already, at ",
                                       known->second));
    }
  }
  to->interface_state =
      from.has_interface_state() ? from.interface_state() : NicJournal::kDirectory;
  if (!absl::StartsWith(to->interface_state, "/")) {
    root.Wrong("interface_state", absl::StrCat("interface_state \"", to->interface_state,
                                               "\" must be an absolute path"));
  }
}

}  // namespace

absl::StatusOr<ServeConfig> ParseConfig(const std::string& text, const std::string& name) {
  ConfigText file(name);
  pb::Config from;
  if (!file.Parse(text, &from)) return file.status();

  const Place root = file.root();
  ServeConfig config;
  if (!from.has_archive()) {
    root.Wrong("archive is missing: archive { directory: \"/var/lib/sluice\" }");
  } else {
    ReadArchive(root.Sub("archive"), from.archive(), &config.recorder.archive);
  }
  if (from.archive().has_stall_limit()) {
    ReadStallLimit(root.Sub("archive"), from.archive().stall_limit(), &config.recorder);
  }
  ReadLanes(root, from, &config.recorder);
  ReadReceiver(root, from, &config.recorder);
  if (from.has_verify()) ReadVerify(root.Sub("verify"), from.verify(), &config);
  config.unix_socket = ReadSocket(root, from);
  config.recorder.archive.purpose = "serve";
  config.recorder.archive.socket_path = config.unix_socket;

  config.recorder.only_these_classes = true;
  std::map<std::string, std::string> class_places;
  for (int i = 0; i < from.retention_class_size(); ++i) {
    const Place place = root.Sub("retention_class", i);
    RetentionClass rule = ReadClass(place, from.retention_class(i));
    const auto [known, is_new] = class_places.try_emplace(rule.name, place.Where("name"));
    if (!is_new) {
      place.Wrong("name", absl::StrCat("retention class \"", rule.name,
                                       "\" is defined already, at ", known->second));
    }
    config.recorder.retention_classes.push_back(std::move(rule));
  }

  ReadInterfaces(root, from, &config);
  config.fixed = FixedFields(from);

  Taken taken;
  for (int i = 0; i < from.recording_size(); ++i) {
    const Place place = root.Sub("recording", i);
    config.recordings.push_back(ReadRecording(place, from.recording(i)));
    config.recordings.back().retention_class = from.recording(i).retention_class();
    CheckClass(place, from.recording(i).retention_class(), config.recorder.retention_classes);
    taken.Check(place, config.recordings.back());
  }
  SLUICE_RETURN_IF_ERROR(file.status());
  return config;
}

absl::StatusOr<ServeConfig> LoadConfig(const std::string& path) {
  const auto failed = [&](int error) {
    return absl::ErrnoToStatus(error, absl::StrCat("read configuration ", path));
  };
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return failed(EISDIR);
  errno = 0;
  std::ifstream file(path);
  std::ostringstream text;
  if (!file) return failed(errno != 0 ? errno : EIO);
  if (file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  if (file.bad() || text.bad()) return failed(errno != 0 ? errno : EIO);
  return ParseConfig(text.str(), path);
}

}  // namespace sluice
