#include "control/service/stream_query.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "control/config/size.h"
#include "ingest/status_macros.h"
#include "ingest/units.h"

namespace sluice {
namespace {

using Field = StreamQuery::Field;
using Condition = StreamQuery::Condition;

constexpr size_t kFilterCharactersMax = 4096;
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kPortMax = 65'535;

enum class Comparison : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kMore, kMoreEqual };

template <class Value>
struct Named {
  absl::string_view name;
  Value value;
};

constexpr std::array<Named<Field>, 9> kFields = {{{"state", Field::kState},
                                                  {"close_reason", Field::kCloseReason},
                                                  {"peer_address", Field::kPeerAddress},
                                                  {"peer_port", Field::kPeerPort},
                                                  {"local_port", Field::kLocalPort},
                                                  {"size", Field::kSize},
                                                  {"open_time", Field::kOpenTime},
                                                  {"last_time", Field::kLastTime},
                                                  {"end_time", Field::kEndTime}}};
// The longer ones first.
constexpr std::array<Named<Comparison>, 6> kComparisons = {{{"!=", Comparison::kNotEqual},
                                                            {"<=", Comparison::kLessEqual},
                                                            {">=", Comparison::kMoreEqual},
                                                            {"=", Comparison::kEqual},
                                                            {"<", Comparison::kLess},
                                                            {">", Comparison::kMore}}};
constexpr std::array<Named<bool>, 2> kStates = {{{"OPEN", true}, {"CLOSED", false}}};
constexpr std::array<Named<CloseReason>, 7> kReasons = {
    {{"CLOSE_REASON_UNSPECIFIED", CloseReason::kNone},
     {"END_OF_STREAM", CloseReason::kEndOfStream},
     {"RESET", CloseReason::kReset},
     {"ERROR", CloseReason::kError},
     {"RECORDING_STOPPED", CloseReason::kStopped},
     {"DISK_LOST", CloseReason::kDiskLost},
     {"INTERRUPTED", CloseReason::kInterrupted}}};

template <class Value, size_t n>
std::string NamesOf(const std::array<Named<Value>, n>& table) {
  return absl::StrJoin(table, ", ", [](std::string* out, const Named<Value>& entry) {
    absl::StrAppend(out, entry.name);
  });
}

bool IsTime(Field field) {
  return field == Field::kOpenTime || field == Field::kLastTime || field == Field::kEndTime;
}
bool IsNumber(Field field) {
  return field == Field::kPeerPort || field == Field::kLocalPort || field == Field::kSize;
}

bool IsEquality(Comparison comparison) {
  return comparison == Comparison::kEqual || comparison == Comparison::kNotEqual;
}

// What compares so with `value`; kNotEqual: what does not.
Interval IntervalOf(Comparison comparison, int64_t value) {
  switch (comparison) {
    case Comparison::kEqual:
    case Comparison::kNotEqual:
      return {value, value};
    case Comparison::kLess:
      return value == kMin ? Interval{kMax, kMin} : Interval{kMin, value - 1};
    case Comparison::kLessEqual:
      return {kMin, value};
    case Comparison::kMore:
      return value == kMax ? Interval{kMax, kMin} : Interval{value + 1, kMax};
    case Comparison::kMoreEqual:
      return {value, kMax};
  }
  return {};
}

// One pass from left to right, without backtracking.
class Parser {
 public:
  explicit Parser(absl::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<Condition>> ParseAll() {
    std::vector<Condition> conditions;
    SkipSpace();
    if (AtEnd()) return conditions;
    while (true) {
      SLUICE_ASSIGN_OR_RETURN(Condition condition, ParseCondition());
      conditions.push_back(std::move(condition));
      SkipSpace();
      if (AtEnd()) return conditions;
      const size_t begin = at_;
      const absl::string_view word = TakeWord();
      if (word != "AND") {
        return Wrong(begin, "expected AND or the end; conditions can only be joined with AND");
      }
      SkipSpace();
    }
  }

 private:
  bool AtEnd() const { return at_ == text_.size(); }
  void SkipSpace() {
    while (!AtEnd() && absl::ascii_isspace(text_[at_])) ++at_;
  }

  static absl::Status Wrong(size_t at, absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("filter, character ", at + 1, ": ", what));
  }

  static bool IsWordCharacter(char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("_-.:+*[]%", c);
  }
  absl::string_view TakeWord() {
    const size_t begin = at_;
    while (!AtEnd() && IsWordCharacter(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  template <class Value, size_t n>
  absl::StatusOr<Value> Lookup(const std::array<Named<Value>, n>& table, absl::string_view name,
                               size_t at, absl::string_view what) const {
    for (const Named<Value>& entry : table) {
      if (entry.name == name) return entry.value;
    }
    const std::string problem = name.empty() ? absl::StrCat("expected ", what)
                                             : absl::StrCat("\"", name, "\" is not ", what);
    return Wrong(at, absl::StrCat(problem, "; there are: ", NamesOf(table)));
  }

  absl::StatusOr<Condition> ParseCondition() {
    Condition condition;
    const size_t field_at = at_;
    SLUICE_ASSIGN_OR_RETURN(condition.field, Lookup(kFields, TakeWord(), field_at, "a field"));
    SkipSpace();
    const size_t comparison_at = at_;
    SLUICE_ASSIGN_OR_RETURN(const Comparison comparison, ParseComparison());
    if (IsTime(condition.field) && IsEquality(comparison)) {
      return Wrong(comparison_at, "a time can be compared with >=, >, <= and <");
    }
    if (!IsTime(condition.field) && !IsNumber(condition.field) && !IsEquality(comparison)) {
      return Wrong(comparison_at, "this field can be compared with = and !=");
    }
    condition.negated = comparison == Comparison::kNotEqual;
    SkipSpace();
    SLUICE_RETURN_IF_ERROR(ParseValue(comparison, &condition));
    return condition;
  }

  absl::StatusOr<Comparison> ParseComparison() {
    for (const Named<Comparison>& entry : kComparisons) {
      if (absl::StartsWith(text_.substr(at_), entry.name)) {
        at_ += entry.name.size();
        return entry.value;
      }
    }
    return Wrong(at_, absl::StrCat("expected a comparison; there are: ", NamesOf(kComparisons)));
  }

  absl::Status ParseValue(Comparison comparison, Condition* condition) {
    const size_t at = at_;
    SLUICE_ASSIGN_OR_RETURN(const Text value, ParseText());
    if (value.characters.empty()) return Wrong(at, "expected a value");
    switch (condition->field) {
      case Field::kState: {
        SLUICE_ASSIGN_OR_RETURN(condition->open, Lookup(kStates, value.characters, at, "a state"));
        break;
      }
      case Field::kCloseReason: {
        SLUICE_ASSIGN_OR_RETURN(condition->reason,
                                Lookup(kReasons, value.characters, at, "a close reason"));
        break;
      }
      case Field::kPeerAddress: {
        if (value.ends_with_star) {
          condition->peer = PeerPattern::BeginningWith(
              absl::string_view(value.characters).substr(0, value.characters.size() - 1));
          break;
        }
        const absl::StatusOr<PeerPattern> peer = PeerPattern::Parse(value.characters);
        if (!peer.ok()) return Wrong(at, peer.status().message());
        condition->peer = *peer;
        break;
      }
      case Field::kPeerPort:
      case Field::kLocalPort: {
        int64_t port = 0;
        if (!absl::SimpleAtoi(value.characters, &port) || port < 0 || port > kPortMax) {
          return Wrong(at, absl::StrCat("\"", value.characters,
                                        "\" is not a port, a number from 0 to ", kPortMax));
        }
        condition->interval = IntervalOf(comparison, port);
        break;
      }
      case Field::kSize: {
        SLUICE_ASSIGN_OR_RETURN(const int64_t size, ParseBytes(at, value.characters));
        condition->interval = IntervalOf(comparison, size);
        break;
      }
      case Field::kOpenTime:
      case Field::kLastTime:
      case Field::kEndTime: {
        absl::Time time;
        std::string error;
        if (!absl::ParseTime(absl::RFC3339_full, value.characters, &time, &error)) {
          return Wrong(at, absl::StrCat("\"", value.characters,
                                        "\" is not a time such as \"2026-01-01T00:00:00Z\""));
        }
        condition->interval = IntervalOf(comparison, absl::ToUnixNanos(time));
        break;
      }
    }
    return absl::OkStatus();
  }

  // A plain number, or one with a unit.
  static absl::StatusOr<int64_t> ParseBytes(size_t at, const std::string& text) {
    int64_t number = 0;
    if (absl::SimpleAtoi(text, &number) && number >= 0) return number;
    const absl::StatusOr<ByteCount> size = ParseSize(text);
    if (!size.ok()) return Wrong(at, size.status().message());
    return static_cast<int64_t>(std::min<uint64_t>(size->value, kMax));
  }

  struct Text {
    std::string characters;
    bool ends_with_star = false;  // and the star was not escaped
  };

  absl::StatusOr<Text> ParseText() {
    if (AtEnd() || (text_[at_] != '"' && text_[at_] != '\'')) {
      const absl::string_view word = TakeWord();
      return Text{std::string(word), absl::EndsWith(word, "*")};
    }
    const size_t begin = at_;
    const char quote = text_[at_++];
    Text text;
    while (!AtEnd() && text_[at_] != quote) {
      const bool escaped = text_[at_] == '\\';
      if (escaped && ++at_ == text_.size()) break;
      text.ends_with_star = !escaped && text_[at_] == '*';
      text.characters.push_back(text_[at_++]);
    }
    if (AtEnd()) return Wrong(begin, "the quoted string does not end");
    ++at_;  // the quote
    return text;
  }

  absl::string_view text_;
  size_t at_ = 0;
};

bool MeetsUnnegated(const Condition& condition, const StreamRow& row) {
  switch (condition.field) {
    case Field::kState:
      return row.open == condition.open;
    case Field::kCloseReason:
      return row.reason == condition.reason;
    case Field::kPeerAddress:
      return condition.peer.Matches(row.peer);
    case Field::kPeerPort:
      return condition.interval.Contains(row.peer.port);
    case Field::kLocalPort:
      return condition.interval.Contains(row.local.port);
    case Field::kSize:
      return condition.interval.Contains(static_cast<int64_t>(row.size().value));
    case Field::kOpenTime:
      return condition.interval.Contains(row.opened.value);
    case Field::kLastTime:
      return condition.interval.Contains(row.last_time.value);
    case Field::kEndTime:
      return row.open ? condition.interval.last == kMax
                      : condition.interval.Contains(row.last_time.value);
  }
  return false;
}

void Narrow(Interval* interval, const Interval& by) {
  interval->first = std::max(interval->first, by.first);
  interval->last = std::min(interval->last, by.last);
}

}  // namespace

absl::StatusOr<StreamQuery> StreamQuery::Parse(absl::string_view text) {
  if (text.size() > kFilterCharactersMax) {
    return absl::InvalidArgumentError(absl::StrCat("filter has ", text.size(),
                                                   " characters, and at most ",
                                                   kFilterCharactersMax, " are read"));
  }
  StreamQuery query;
  SLUICE_ASSIGN_OR_RETURN(query.conditions_, Parser(text).ParseAll());
  return query;
}

// Of several peers or close reasons, the last one: to be in all of them is rarely asked for.
StreamFilter StreamQuery::Prefilter() const {
  StreamFilter filter;
  for (const Condition& condition : conditions_) {
    switch (condition.field) {
      case Field::kState:
        filter.open = condition.open != condition.negated;
        break;
      case Field::kCloseReason:
        if (condition.negated) break;
        filter.reason = condition.reason;
        if (condition.reason == CloseReason::kNone) filter.open = true;
        break;
      case Field::kPeerAddress:
        if (!condition.negated && condition.peer.range()) filter.peer = condition.peer.range();
        break;
      case Field::kPeerPort:
        if (!condition.negated) Narrow(&filter.peer_port, condition.interval);
        break;
      case Field::kLocalPort:
        if (!condition.negated) Narrow(&filter.local_port, condition.interval);
        break;
      case Field::kSize:
        if (!condition.negated) Narrow(&filter.size, condition.interval);
        break;
      case Field::kOpenTime:
        Narrow(&filter.opened, condition.interval);
        break;
      case Field::kLastTime:
        Narrow(&filter.last, condition.interval);
        break;
      case Field::kEndTime:
        Narrow(&filter.ended, condition.interval);
        break;
    }
  }
  return filter;
}

bool StreamQuery::Matches(const StreamRow& row) const {
  return std::all_of(conditions_.begin(), conditions_.end(), [&row](const Condition& condition) {
    return MeetsUnnegated(condition, row) != condition.negated;
  });
}

absl::Status ParseStreamOrder(absl::string_view text, StreamSearch* search) {
  absl::string_view field = absl::StripAsciiWhitespace(text);
  if (absl::ConsumeSuffix(&field, " desc")) search->descending = true;
  field = absl::StripAsciiWhitespace(field);
  if (field == "open_time") {
    search->order = StreamOrder::kOpened;
  } else if (field != "name" && (!field.empty() || search->descending)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "order_by \"", text,
        "\": there are \"name\" and \"open_time\", and \" desc\" behind them turns them around"));
  }
  return absl::OkStatus();
}

}  // namespace sluice
