#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/doctor/checks.h"
#include "ingest/probe/driver.h"

namespace sluice {
namespace {

constexpr char kCards[] = "zero-copy receive needs a card with bnxt_en, mlx5_core, gve or fbnic";

// What a newer kernel's drivers can is seen by trial.
bool LendsQueues(const DoctorFacts& facts) {
  const Driver& driver = facts.interface->driver;
  return (facts.device_trial && facts.device_trial->ok()) ||
         (driver.hardware && CanLendQueues(driver.name));
}

Check NoInterface(std::string name) {
  return {std::move(name), CheckState::kNotChecked, "no --interface was given", ""};
}

Check NoQueue(const DoctorFacts& facts, std::string name) {
  return {std::move(name), CheckState::kNotChecked,
          facts.interface ? "no --queue was given" : "no --interface was given", ""};
}

std::string Queues(const InterfaceFacts& interface) {
  if (!interface.receive_queues) return "";
  const uint32_t count = *interface.receive_queues;
  return absl::StrCat(", ", count, " receive queue", count == 1 ? "" : "s");
}

const char* NameOf(QueueUser user) {
  switch (user) {
    case QueueUser::kKernel:
      return "nobody";
    case QueueUser::kIoUring:
      return "a program that receives by io_uring (a recorder?)";
    case QueueUser::kDmabuf:
      return "a program that receives into device memory (dmabuf)";
    case QueueUser::kXsk:
      return "a program that receives by AF_XDP";
    case QueueUser::kLeased:
      return "another interface";
  }
  return "";
}

// A refusal says cause and remedy, with one semicolon between them.
Check Refused(std::string name, CheckState state, const absl::Status& status) {
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(status.message(), absl::MaxSplits("; ", 1));
  return {std::move(name), state, parts.first,
          parts.second.empty() ? "see the checks above" : parts.second};
}

}  // namespace

Check CheckInterface(const DoctorFacts& facts) {
  if (!facts.interface) {
    Check check = NoInterface("interface");
    check.remedy = "--interface IF --queue N checks whether zero-copy receive is possible";
    return check;
  }
  const InterfaceFacts& interface = *facts.interface;
  const Driver& driver = interface.driver;
  Check check{"interface", CheckState::kOk,
              absl::StrCat(interface.name, interface.up ? ", up" : ", down",
                           driver.name.empty() ? "" : ", driver ", driver.name, Queues(interface)),
              ""};
  if (!LendsQueues(facts)) {
    check.state = CheckState::kMissing;
    absl::StrAppend(&check.found, driver.hardware ? ": the driver lends no queues to programs"
                                                  : ": not a network card");
    check.remedy = kCards;
  } else if (!interface.up) {
    check.state = CheckState::kMissing;
    check.remedy = absl::StrCat("bring it up: `ip link set ", interface.name, " up`");
  }
  return check;
}

Check CheckHeaderSplit(const DoctorFacts& facts) {
  if (!facts.interface) return NoInterface("header split");
  const InterfaceFacts& interface = *facts.interface;
  Check check{"header split", CheckState::kMissing, "", ""};
  check.remedy = absl::StrCat("`ethtool -G ", interface.name, " tcp-data-split on",
                              interface.header_split_threshold ? " hds-thresh 0`" : "`");
  switch (interface.header_split) {
    case HeaderSplit::kUnknown:
      check.found = "not set: the driver decides, or cannot";
      if (!LendsQueues(facts)) check.remedy = "a card whose driver can: see interface";
      return check;
    case HeaderSplit::kOff:
      check.found = "off";
      return check;
    case HeaderSplit::kOn:
      break;
  }
  check.found = absl::StrCat("on, for packets longer than ",
                             interface.header_split_threshold.value_or(0), " bytes");
  if (interface.header_split_threshold.value_or(0) != 0) return check;
  return {check.name, CheckState::kOk, "on, for packets of any length", ""};
}

Check CheckXdp(const DoctorFacts& facts) {
  if (!facts.interface) return NoInterface("XDP");
  if (!facts.interface->xdp) return {"XDP", CheckState::kOk, "no program attached", ""};
  return {"XDP", CheckState::kMissing, "a program is attached, which excludes zero-copy receive",
          absl::StrCat("detach it: `ip link set ", facts.interface->name, " xdp off`")};
}

Check CheckQueue(const DoctorFacts& facts) {
  if (!facts.queue) return NoQueue(facts, "queue");
  Check check{"queue", CheckState::kOk, "", ""};
  const absl::StatusOr<QueueFacts>& queue = *facts.queue_facts;
  const std::string& interface = facts.interface->name;
  const std::string more = absl::StrCat("`ethtool -L ", interface, " combined N` makes more");
  if (absl::IsNotFound(queue.status())) {
    return {check.name, CheckState::kMissing, std::string(queue.status().message()),
            absl::StrCat("choose one of `ethtool -l ", interface, "`; ", more)};
  }
  if (absl::IsFailedPrecondition(queue.status())) {
    return {check.name, CheckState::kMissing, std::string(queue.status().message()),
            absl::StrCat("bring it up: `ip link set ", interface, " up`")};
  }
  if (!queue.ok()) {
    return {check.name, CheckState::kNotChecked, std::string(queue.status().message()), ""};
  }
  check.found = absl::StrCat("number ", *facts.queue, " is there, ",
                             queue->napi ? absl::StrCat("NAPI ", *queue->napi) : "without NAPI");
  // What a lent queue brings can be received without copies only: other programs lose it.
  if (LendsQueues(facts) && facts.interface->receive_queues == 1u) {
    check.state = CheckState::kWarning;
    absl::StrAppend(&check.found, ", and the only one: all other traffic comes through it, too");
    check.remedy = absl::StrCat("have one for recordings alone: ", more);
  }
  return check;
}

Check CheckQueueIsFree(const DoctorFacts& facts) {
  if (!facts.queue) return NoQueue(facts, "queue is free");
  const absl::StatusOr<QueueFacts>& queue = *facts.queue_facts;
  Check check{"queue is free", CheckState::kNotChecked, "there is no such queue to ask about", ""};
  if (!queue.ok()) return check;
  check.state = CheckState::kOk;
  check.found = absl::StrCat("lent to ", NameOf(queue->user));
  if (queue->user == QueueUser::kKernel) return check;
  check.state = CheckState::kMissing;
  check.remedy = "choose another queue, or end that program";
  return check;
}

Check CheckDeviceTrial(const DoctorFacts& facts) {
  if (!facts.queue) return NoQueue(facts, "trial");
  if (!facts.device_trial) {
    return {"trial", CheckState::kNotChecked, "no zero-copy receive in this kernel", ""};
  }
  if (!facts.device_trial->ok()) return Refused("trial", CheckState::kMissing, *facts.device_trial);
  return {"trial", CheckState::kOk, "the kernel lent the queue, and took it back", ""};
}

Check CheckDeviceLessTrial(const DoctorFacts& facts) {
  constexpr char kName[] = "device-less trial";
  if (!facts.device_less_trial) {
    return {kName, CheckState::kNotChecked, "no zero-copy receive in this kernel", ""};
  }
  if (facts.device_less_trial->ok()) {
    return {kName, CheckState::kOk, "works (the kernel copies: for tests, without a card)", ""};
  }
  Check check = Refused(kName, CheckState::kWarning, *facts.device_less_trial);
  absl::StrAppend(&check.remedy, "; only tests without a card want it");
  return check;
}

}  // namespace sluice
