#include "control/cli/record_summary.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "control/cli/human.h"
#include "control/cli/json.h"
#include "control/service/conversion.h"

namespace sluice {
namespace {

std::string Quoted(uint64_t number) { return absl::StrCat("\"", number, "\""); }
std::string Seconds(absl::Duration duration) {
  return absl::StrFormat("%.6f", absl::ToDoubleSeconds(duration));
}

std::string Losses(const Ledger& ledger) {
  std::vector<std::string> causes;
  const auto add = [&causes](uint64_t bytes, absl::string_view cause) {
    if (bytes > 0) causes.push_back(absl::StrCat(HumanSize({bytes}), " ", cause));
  };
  add(ledger.dropped_policy, "by policy");
  add(ledger.dropped_socket, "in the socket buffer");
  add(ledger.dropped_device, "in the network device");
  add(ledger.dropped_truncated, "cut off datagrams");
  add(ledger.dropped_disk, "for want of a disk");
  return absl::StrJoin(causes, ", ");
}

}  // namespace

std::string SummaryText(const RecordSummary& summary) {
  const Ledger& ledger = summary.status.ledger;
  const double seconds = absl::ToDoubleSeconds(summary.active);
  const double rate = seconds > 0 ? static_cast<double>(ledger.received) / seconds : 0;
  std::string text = absl::StrCat("recorded ", HumanSize(summary.status.durable), " in ",
                                  summary.status.streams_opened,
                                  summary.status.streams_opened == 1 ? " stream, " : " streams, ",
                                  HumanDuration(summary.elapsed), ", ", HumanRate(rate), "; ");
  if (ledger.dropped() == 0) return absl::StrCat(text, "nothing lost");
  return absl::StrCat(text, "lost ", HumanSize({ledger.dropped()}), ": ", Losses(ledger));
}

std::string SummaryJson(const RecordSummary& summary) {
  const RecordingStatus& status = summary.status;
  KnownRecording known;
  known.stored = summary.stored;
  known.live = status;
  std::vector<std::string> receivers;
  for (const ReceiverStatus& receiver : summary.receivers) {
    receivers.push_back(ToJson(ToProto(receiver)));
  }
  return ToJson(ToProto(known),
                {{"bytesReceived", Quoted(status.ledger.received)},
                 {"bytesWritten", Quoted(status.ledger.written)},
                 {"bytesDropped", Quoted(status.ledger.dropped())},
                 {"bytesDurable", Quoted(status.durable.value)},
                 {"bytesDisk", Quoted(status.disk.value)},
                 {"bytesZeroCopy", Quoted(status.ledger.zero_copy)},
                 {"bytesCopied", Quoted(status.ledger.copied)},
                 {"bytesPacked", Quoted(status.ledger.packed)},
                 {"streamsOpened", Quoted(status.streams_opened)},
                 {"streamsClosed", Quoted(status.streams_closed)},
                 {"seconds", Seconds(summary.elapsed)},
                 {"activeSeconds", Seconds(summary.active)},
                 {"regionBytes", Quoted(summary.region.value)},
                 {"receivers", absl::StrCat("[", absl::StrJoin(receivers, ","), "]")}});
}

}  // namespace sluice
