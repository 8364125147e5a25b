#include "control/nic/nic_plan.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

// More than any plan has: channels, rings, table, features, a context, and rules.
constexpr size_t kStepsMax = 4096;

absl::Status Refuse(const NicState& now, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat(now.interface, ": ", why));
}

std::string DriverOf(const NicState& now) {
  return now.driver.name.empty() ? "its driver" : absl::StrCat("its driver ", now.driver.name);
}

// `queues`, one after the other, over a table of `size` entries.
Indirection Spread(size_t size, const std::vector<uint32_t>& queues) {
  Indirection table(size);
  for (size_t i = 0; i < size; ++i) table[i] = queues[i % queues.size()];
  return table;
}

std::vector<uint32_t> OtherQueues(const NicState& now, const DesiredNic& desired) {
  std::vector<uint32_t> queues;
  for (uint32_t queue = 0; queue < now.receive_queues(); ++queue) {
    if (!desired.zero_copy_queues.contains(queue)) queues.push_back(queue);
  }
  return queues;
}

bool LeadsTo(const Indirection& table, const std::set<uint32_t>& queues) {
  return std::any_of(table.begin(), table.end(),
                     [&](uint32_t queue) { return queues.contains(queue); });
}

// A table that leads to each of the zero-copy queues and to no other: a context of ours.
bool SpreadsOverZeroCopy(const Indirection& table, const DesiredNic& desired) {
  return std::set<uint32_t>(table.begin(), table.end()) == desired.zero_copy_queues;
}

bool NeedsContext(const DesiredNic& desired) {
  return desired.zero_copy_queues.size() > 1 &&
         std::any_of(desired.rules.begin(), desired.rules.end(),
                     [](const DesiredRule& rule) { return !rule.to_queue; });
}

absl::StatusOr<std::optional<NicStep>> NextChannels(const NicState& now,
                                                    const DesiredNic& desired) {
  uint32_t wanted = desired.receive_queues.value_or(now.receive_queues());
  const uint32_t last = desired.zero_copy_queues.empty() ? 0 : *desired.zero_copy_queues.rbegin();
  if (!now.channels) {
    if (!desired.receive_queues && desired.zero_copy_queues.empty()) return std::nullopt;
    return Refuse(now, absl::StrCat(DriverOf(now),
                                    " does not say how many queues it has, so none "
                                    "can be set aside: use a network card whose driver does"));
  }
  if (!desired.zero_copy_queues.empty() && last >= wanted) {
    return Refuse(now, absl::StrCat("there is no receive queue ", last, ", for it has ", wanted,
                                    ": name queues from 0 to ", wanted == 0 ? 0 : wanted - 1,
                                    ", or ask for more with receive_queues"));
  }
  if (wanted == now.receive_queues()) return std::nullopt;
  Channels to = *now.channels;
  if (to.combined_max > 0) {
    if (wanted < to.receive) return Refuse(now, "it has more queues that only receive than that");
    to.combined = wanted - to.receive;
  } else {
    to.receive = wanted;
  }
  if (to.combined > to.combined_max || to.receive > to.receive_max + to.combined_max) {
    return Refuse(now, absl::StrCat("it can have ", to.receive_max + to.combined_max,
                                    " receive queues, not ", wanted, ": ask for fewer"));
  }
  return SetChannels{to};
}

absl::StatusOr<std::optional<NicStep>> NextRings(const NicState& now, const DesiredNic& desired) {
  const Rings rings = now.rings.value_or(Rings());
  SetRings step;
  if (desired.ring_size && rings.receive != desired.ring_size) {
    if (!rings.receive) {
      return Refuse(now,
                    absl::StrCat(DriverOf(now), " has no ring size to set: leave ring_size out"));
    }
    if (rings.receive_max && *desired.ring_size > *rings.receive_max) {
      return Refuse(now, absl::StrCat("its rings have at most ", *rings.receive_max,
                                      " entries, not ", *desired.ring_size));
    }
    step.receive = desired.ring_size;
  }
  if (!desired.zero_copy_queues.empty()) {
    if (!rings.header_split) {
      return Refuse(now, absl::StrCat(DriverOf(now),
                                      " cannot keep headers and payload apart "
                                      "(tcp-data-split), without which nothing is received without "
                                      "copying: bnxt, mlx5, gve and fbnic can"));
    }
    if (rings.header_split != HeaderSplit::kOn) step.header_split = HeaderSplit::kOn;
    // A driver without the threshold splits packets of any length.
    if (rings.header_split_threshold.value_or(0) != 0) step.header_split_threshold = 0;
  }
  if (!step.receive && !step.header_split && !step.header_split_threshold) return std::nullopt;
  return step;
}

absl::StatusOr<std::optional<NicStep>> NextIndirection(const NicState& now,
                                                       const DesiredNic& desired) {
  if (desired.zero_copy_queues.empty()) return std::nullopt;
  const std::vector<uint32_t> others = OtherQueues(now, desired);
  if (others.empty()) {
    return Refuse(
        now,
        "all of its queues would be zero-copy queues, and none would be left for the "
        "rest of the traffic: leave at least one out, or ask for more with receive_queues");
  }
  if (!now.indirection) {
    return Refuse(now, absl::StrCat(DriverOf(now),
                                    " does not let its RSS table be set, so other "
                                    "traffic cannot be kept off the zero-copy queues"));
  }
  if (!LeadsTo(*now.indirection, desired.zero_copy_queues)) return std::nullopt;
  return SetIndirection{Spread(now.indirection->size(), others)};
}

absl::StatusOr<std::optional<NicStep>> NextFeature(const NicState& now, const DesiredNic& desired) {
  if (desired.rules.empty() || now.ntuple.value_or(false)) return std::nullopt;
  if (!now.ntuple || now.rules_max == 0) {
    return Refuse(now, absl::StrCat(DriverOf(now),
                                    " has no flow rules (ntuple filters), so traffic "
                                    "cannot be steered to a queue"));
  }
  return SetNtuple{true};
}

std::optional<uint32_t> ContextOf(const NicState& now, const DesiredNic& desired) {
  for (const auto& [id, table] : now.contexts) {
    if (SpreadsOverZeroCopy(table, desired)) return id;
  }
  return std::nullopt;
}

// What a rule does with its packets: "queue 6".
std::string Target(const FlowRule& rule) {
  if (const auto queue = rule.queue()) return absl::StrCat("queue ", *queue);
  if (const auto context = rule.rss_context()) return absl::StrCat("RSS context ", *context);
  return "another place";
}

absl::StatusOr<FlowRule> RuleFor(const NicState& now, const DesiredNic& desired,
                                 const DesiredRule& wanted) {
  if (wanted.to_queue) {
    if (now.channels && *wanted.to_queue >= now.receive_queues()) {
      return Refuse(now,
                    absl::StrCat("there is no receive queue ", *wanted.to_queue, " for the rule \"",
                                 ToString(wanted.match), "\": it has ", now.receive_queues()));
    }
    return RuleToQueue(wanted.match, *wanted.to_queue);
  }
  if (desired.zero_copy_queues.empty()) {
    return Refuse(now,
                  absl::StrCat("the rule \"", ToString(wanted.match),
                               "\" leads nowhere: give it to_queue, or name zero-copy queues"));
  }
  if (!NeedsContext(desired)) return RuleToQueue(wanted.match, *desired.zero_copy_queues.begin());
  return RuleToContext(wanted.match, ContextOf(now, desired).value_or(0));
}

// The highest free place: rules with low numbers come first, and those are other people's.
absl::StatusOr<uint32_t> FreeLocation(const NicState& now) {
  if (now.chooses_location) return RX_CLS_LOC_ANY;
  for (uint32_t location = now.rules_max; location-- > 0;) {
    if (!now.rules.contains(location)) return location;
  }
  return Refuse(now, absl::StrCat("its table of ", now.rules_max,
                                  " flow rules is full: delete one with `ethtool -N ",
                                  now.interface, " delete LOCATION`"));
}

absl::StatusOr<std::optional<NicStep>> NextRule(const NicState& now, const DesiredNic& desired) {
  if (NeedsContext(desired) && !ContextOf(now, desired)) {
    if (!now.indirection) return Refuse(now, absl::StrCat(DriverOf(now), " has no RSS contexts"));
    return CreateContext{Spread(now.indirection->size(), {desired.zero_copy_queues.begin(),
                                                          desired.zero_copy_queues.end()})};
  }
  for (const DesiredRule& wanted : desired.rules) {
    SLUICE_ASSIGN_OR_RETURN(FlowRule rule, RuleFor(now, desired, wanted));
    bool there = false;
    for (const auto& [location, known] : now.rules) {
      if (known.match() != wanted.match) continue;
      if (known.queue() != rule.queue() || known.rss_context() != rule.rss_context()) {
        return Refuse(now, absl::StrCat("rule ", location, " sends \"", ToString(wanted.match),
                                        "\" to ", Target(known), ", not to ", Target(rule),
                                        ": delete it with `ethtool -N ", now.interface, " delete ",
                                        location, "`"));
      }
      there = true;
    }
    if (there) continue;
    SLUICE_ASSIGN_OR_RETURN(rule.spec.location, FreeLocation(now));
    return InsertRule{rule};
  }
  return std::nullopt;
}

bool IsDesired(const FlowRule& rule, const DesiredNic& desired) {
  const std::optional<FlowMatch> match = rule.match();
  return match && std::any_of(desired.rules.begin(), desired.rules.end(),
                              [&](const DesiredRule& wanted) { return wanted.match == *match; });
}

std::optional<NicStep> NextRuleBack(const NicState& now, const NicState& original,
                                    const DesiredNic& desired) {
  for (const auto& [location, rule] : now.rules) {
    const auto before = original.rules.find(location);
    if ((before == original.rules.end() || !(before->second == rule)) && IsDesired(rule, desired)) {
      return DeleteRule{rule};
    }
  }
  for (const auto& [id, table] : now.contexts) {
    if (!original.contexts.contains(id) && SpreadsOverZeroCopy(table, desired)) {
      return DeleteContext{id};
    }
  }
  return std::nullopt;
}

std::optional<NicStep> NextRingsBack(const NicState& now, const NicState& original,
                                     const DesiredNic& desired) {
  if (!now.rings || !original.rings) return std::nullopt;
  SetRings step;
  if (desired.ring_size && now.rings->receive != original.rings->receive) {
    step.receive = original.rings->receive;
  }
  if (!desired.zero_copy_queues.empty()) {
    if (now.rings->header_split != original.rings->header_split) {
      step.header_split = original.rings->header_split;
    }
    if (now.rings->header_split_threshold != original.rings->header_split_threshold) {
      step.header_split_threshold = original.rings->header_split_threshold;
    }
  }
  if (!step.receive && !step.header_split && !step.header_split_threshold) return std::nullopt;
  return step;
}

bool SameCounts(const Channels& a, const Channels& b) {
  return a.receive == b.receive && a.transmit == b.transmit && a.combined == b.combined;
}

std::optional<NicStep> NextTableBack(const NicState& now, const NicState& original,
                                     const DesiredNic& desired) {
  const bool channels_differ = desired.receive_queues && now.channels && original.channels &&
                               !SameCounts(*now.channels, *original.channels);
  if (channels_differ) {
    // A table that leads beyond them is in the way of fewer channels.
    const uint32_t queues = original.receive_queues();
    if (now.indirection &&
        std::any_of(now.indirection->begin(), now.indirection->end(),
                    [&](uint32_t queue) { return queue >= queues; }) &&
        !IsEven(*now.indirection, now.receive_queues())) {
      return SetIndirection{std::nullopt};
    }
    return SetChannels{*original.channels};
  }
  if (desired.zero_copy_queues.empty() && !desired.receive_queues) return std::nullopt;
  if (!now.indirection || !original.indirection || now.indirection == original.indirection) {
    return std::nullopt;
  }
  // The driver's own, which it goes on to adapt to the number of channels.
  if (IsEven(*original.indirection, original.receive_queues())) {
    return SetIndirection{std::nullopt};
  }
  return SetIndirection{original.indirection};
}

}  // namespace

absl::StatusOr<std::optional<NicStep>> NextStep(const NicState& now, const DesiredNic& desired) {
  for (const auto next : {NextChannels, NextRings, NextIndirection, NextFeature, NextRule}) {
    SLUICE_ASSIGN_OR_RETURN(std::optional<NicStep> step, next(now, desired));
    if (step) return step;
  }
  return std::nullopt;
}

std::optional<NicStep> NextStepBack(const NicState& now, const NicState& original,
                                    const DesiredNic& desired) {
  if (auto step = NextRuleBack(now, original, desired)) return step;
  if (auto step = NextRingsBack(now, original, desired)) return step;
  if (auto step = NextTableBack(now, original, desired)) return step;
  if (!desired.rules.empty() && original.ntuple && now.ntuple != original.ntuple &&
      !*original.ntuple) {
    return SetNtuple{false};
  }
  return std::nullopt;
}

std::optional<NicStep> NextLostRule(const NicState& now, const NicState& before,
                                    const DesiredNic& desired) {
  for (const auto& [location, rule] : before.rules) {
    if (!now.rules.contains(location) && !IsDesired(rule, desired)) return InsertRule{rule};
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<NicStep>> Steps(NicState now, const DesiredNic& desired) {
  std::vector<NicStep> steps;
  while (steps.size() < kStepsMax) {
    SLUICE_ASSIGN_OR_RETURN(std::optional<NicStep> step, NextStep(now, desired));
    if (!step) break;
    now = Expected(std::move(now), *step);
    steps.push_back(*std::move(step));
  }
  return steps;
}

std::vector<NicStep> StepsBack(NicState now, const NicState& original, const DesiredNic& desired) {
  std::vector<NicStep> steps;
  while (steps.size() < kStepsMax) {
    std::optional<NicStep> step = NextStepBack(now, original, desired);
    if (!step) break;
    now = Expected(std::move(now), *step);
    steps.push_back(*std::move(step));
  }
  return steps;
}

}  // namespace sluice
