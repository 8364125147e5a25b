#include "control/doctor/diagnosis.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ingest/units.h"
#include "writer/extent/extent_builder.h"

namespace sluice {
namespace {

// The first that keeps the copying receiver, too, from working.
std::optional<Check> Obstacle(const DoctorFacts& facts) {
  for (const Check& check :
       {CheckIoUring(facts), CheckReceiveBuffers(facts), CheckDisk(facts), CheckAlignment(facts)}) {
    if (check.state == CheckState::kMissing) return check;
  }
  const Check flags = CheckRingFlags(facts);
  if (flags.state == CheckState::kMissing && !facts.kernel.defer_taskrun) return flags;
  return std::nullopt;
}

std::string WhyNotZeroCopy(const DoctorFacts& facts) {
  const KernelFacts& kernel = facts.kernel;
  if (!kernel.receive_zero_copy || !kernel.cqe32) {
    return absl::StrCat("this kernel (", kernel.release,
                        ") has no zero-copy receive: Linux 6.15 or newer is needed");
  }
  if (facts.device_trial) return std::string(facts.device_trial->message());
  return "zero-copy receive was not checked: name a receive queue with --interface and --queue";
}

// In one line, for a disk with this alignment.
std::string Explain(const Amplification& packets, uint64_t align) {
  const std::string around = absl::StrCat(packets.enclosing, " around them, in units of ", align);
  if (packets.packed) {
    return absl::StrCat("a packet's ", packets.packet, " bytes would be written as the ", around,
                        ": they are packed instead, which copies them once");
  }
  return absl::StrCat(
      "a packet's ", packets.packet, " bytes are written as the ", around,
      packets.packed_at_times ? " (or packed, which is a copy, where they begin within a unit)"
      : packets.enclosing_max > packets.enclosing
          ? absl::StrCat(" (", packets.enclosing_max, " where they begin within a unit)")
          : "");
}

void Amplify(const DoctorFacts& facts, Diagnosis* diagnosis) {
  const bool disk_known = facts.disk && facts.disk->ok();
  const uint64_t align = disk_known ? WriteAlign(**facts.disk) : 1;
  const Amplification packets = ZeroCopyAmplification(align);
  if (diagnosis->receiver == ExpectedReceiver::kCopy) {
    diagnosis->amplification = 1;
    diagnosis->amplification_reason = "what is copied lies back to back, and is written as it lies";
    if (!disk_known) return;
    diagnosis->amplification_reason +=
        packets.packed
            ? " (for this disk zero-copy receive would copy, too)"
            : absl::StrFormat(" (zero-copy receive: %.2f on this disk)", packets.factor());
  } else if (!disk_known) {
    diagnosis->amplification_reason = "not known without --archive";
  } else {
    diagnosis->amplification = packets.factor();
    diagnosis->amplification_reason = Explain(packets, align);
  }
}

}  // namespace

std::vector<Check> CheckAll(const DoctorFacts& facts) {
  std::vector<Check> checks = {
      CheckKernel(facts),          CheckIoUring(facts),     CheckRingFlags(facts),
      CheckReceiveBuffers(facts),  CheckOperations(facts),  CheckZeroCopyFeatures(facts),
      CheckLockedMemory(facts),    CheckHugePages(facts),   CheckNetAdmin(facts),
      CheckInterface(facts),       CheckHeaderSplit(facts), CheckXdp(facts),
      CheckQueue(facts),           CheckQueueIsFree(facts), CheckDeviceTrial(facts),
      CheckDeviceLessTrial(facts), CheckDisk(facts),        CheckAlignment(facts),
      CheckWriteLimits(facts)};
  for (Check& check : CheckFurtherDisks(facts)) checks.push_back(std::move(check));
  return checks;
}

double Amplification::factor() const {
  return packed ? 1 : static_cast<double>(enclosing) / static_cast<double>(packet);
}

Amplification ZeroCopyAmplification(uint64_t align) {
  Amplification packets;
  packets.enclosing = RoundUp(packets.packet, align);
  packets.enclosing_max = RoundUp(packets.packet + align - 1, align);
  const uint64_t most = packets.packet * ExtentBuilder::kAmplificationMaxPercent;
  packets.packed = packets.enclosing * 100 > most;
  packets.packed_at_times = packets.enclosing_max * 100 > most;
  return packets;
}

Diagnosis Diagnose(const DoctorFacts& facts) {
  Diagnosis diagnosis;
  diagnosis.checks = CheckAll(facts);
  if (const std::optional<Check> obstacle = Obstacle(facts)) {
    diagnosis.reason =
        absl::StrCat("recording is not possible: ", obstacle->name, ": ", obstacle->found);
    diagnosis.amplification_reason = "nothing can be recorded";
    return diagnosis;
  }
  if (facts.device_trial && facts.device_trial->ok()) {
    diagnosis.receiver = ExpectedReceiver::kZeroCopy;
  } else {
    diagnosis.receiver = ExpectedReceiver::kCopy;
    diagnosis.reason = WhyNotZeroCopy(facts);
  }
  Amplify(facts, &diagnosis);
  return diagnosis;
}

}  // namespace sluice
