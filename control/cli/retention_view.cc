#include "control/cli/retention_view.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "control/cli/human.h"
#include "control/cli/names.h"
#include "control/cli/recording_view.h"

namespace sluice {
namespace {

using google::protobuf::RepeatedPtrField;

std::string Size(int64_t bytes) { return HumanSize({static_cast<uint64_t>(bytes)}); }
std::string SizeOrDash(int64_t bytes) { return bytes == 0 ? "-" : Size(bytes); }

std::string Range(const v1::Hold& hold) {
  if (!hold.has_from_time() && !hold.has_to_time()) return "all";
  return absl::StrCat(hold.has_from_time() ? ShowTime(hold.from_time()) : "the beginning", " to ",
                      hold.has_to_time() ? ShowTime(hold.to_time()) : "the end");
}

std::string Until(const v1::Hold& hold) {
  return hold.has_until_time() ? ShowTime(hold.until_time()) : "released";
}

std::string RuleName(v1::RetentionRule rule) {
  return absl::AsciiStrToLower(v1::RetentionRule_Name(rule));
}

}  // namespace

void PrintHold(const v1::Hold& hold, std::ostream& out) {
  Properties properties(out);
  properties.Add("Name", hold.name());
  properties.Add("Selector", hold.selector());
  properties.Add("Time", Range(hold));
  properties.Add("Owner", Printable(hold.owner()));
  properties.Add("Reason", Printable(hold.reason()));
  properties.Add("Created", ShowTime(hold.create_time()));
  properties.Add("Until", Until(hold));
  properties.Add("Holds", absl::StrCat(Size(hold.held_bytes()), " in ", hold.held_segments(),
                                       " segments, of a budget of ", Size(hold.budget_bytes()),
                                       hold.grows() ? ", and grows" : ""));
  if (hold.refused_segments() > 0) {
    properties.Add("Not held",
                   absl::StrCat(Size(hold.refused_bytes()), " in ", hold.refused_segments(),
                                " segments: the budget is used up"));
  }
}

void PrintHolds(const RepeatedPtrField<v1::Hold>& holds, std::ostream& out) {
  Table table(out, {{"HOLD"},
                    {"OWNER"},
                    {"HELD", Table::Align::kRight},
                    {"BUDGET", Table::Align::kRight},
                    {"NOT HELD", Table::Align::kRight},
                    {"UNTIL"},
                    {"SELECTOR"},
                    {"TIME"}});
  for (const v1::Hold& hold : holds) {
    table.AddRow({ShortName(hold.name()), Printable(hold.owner()), Size(hold.held_bytes()),
                  Size(hold.budget_bytes()), SizeOrDash(hold.refused_bytes()), Until(hold),
                  hold.selector(), Range(hold)});
  }
  table.Flush();
}

void PrintClasses(const RepeatedPtrField<v1::RetentionClass>& classes, std::ostream& out) {
  Table table(out, {{"CLASS"},
                    {"PRIORITY", Table::Align::kRight},
                    {"USED", Table::Align::kRight},
                    {"HELD", Table::Align::kRight},
                    {"QUOTA", Table::Align::kRight},
                    {"RESERVE", Table::Align::kRight},
                    {"AGE", Table::Align::kRight}});
  for (const v1::RetentionClass& rule : classes) {
    const std::string age = rule.has_max_age()
                                ? HumanDuration(absl::Seconds(rule.max_age().seconds()) +
                                                absl::Nanoseconds(rule.max_age().nanos()))
                                : "-";
    table.AddRow({ShortName(rule.name()), absl::StrCat(rule.priority()), Size(rule.used_bytes()),
                  SizeOrDash(rule.held_bytes()), SizeOrDash(rule.quota_bytes()),
                  SizeOrDash(rule.reserve_bytes()), age});
  }
  table.Flush();
}

void PrintRemovals(const RepeatedPtrField<v1::PlannedRemoval>& removals, std::ostream& out) {
  Table table(out, {{"WHEN"},
                    {"RULE"},
                    {"SEGMENT", Table::Align::kRight},
                    {"RECORDING"},
                    {"CLASS"},
                    {"PAYLOAD", Table::Align::kRight},
                    {"FROM"},
                    {"TO"}});
  for (const v1::PlannedRemoval& removal : removals) {
    table.AddRow({removal.has_time() ? ShowTime(removal.time()) : "now", RuleName(removal.rule()),
                  absl::StrCat(removal.segment_id()), ShortName(removal.recording()),
                  ShortName(removal.retention_class()), Size(removal.payload_bytes()),
                  ShowTime(removal.first_time()), ShowTime(removal.last_time())});
  }
  table.Flush();
}

void PrintPlan(const v1::RetentionPlan& plan, std::ostream& out) {
  {
    Properties properties(out);
    properties.Add("Segments",
                   absl::StrCat(plan.segments(), " of ", Size(plan.segment_bytes()), ": ",
                                plan.segments_free(), " free, ", plan.segments_open(),
                                " being written, ", plan.segments_held(), " held"));
    properties.Add("Present rate", HumanRate(plan.bytes_per_second()));
    properties.Add("Next to go", plan.removals().empty() ? "nothing in sight"
                                                         : ShowTime(plan.removals(0).time()));
    properties.Add("Exhausted",
                   plan.has_exhaust_time()
                       ? absl::StrCat(ShowTime(plan.exhaust_time()), ": ", plan.exhaust_reason())
                       : "not in sight");
  }
  out << '\n';
  PrintClasses(plan.classes(), out);
  if (!plan.holds().empty()) {
    out << '\n';
    PrintHolds(plan.holds(), out);
  }
  if (!plan.removals().empty()) {
    out << '\n';
    PrintRemovals(plan.removals(), out);
  }
}

Table AuditTable(std::ostream& out) {
  return Table(out, {{"TIME"}, {"WHO"}, {"WHAT"}, {"OBJECT"}, {"DETAIL"}});
}

void AddAuditRow(const v1::AuditEvent& event, Table& table) {
  table.AddRow({ShowTime(event.time()), Printable(event.actor()), event.action(),
                event.object().empty() ? "-" : event.object(), Printable(event.detail())});
}

}  // namespace sluice
