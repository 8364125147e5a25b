#include "control/service/stream_query.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

using Field = StreamQuery::Field;
using Comparison = StreamQuery::Comparison;
using Condition = StreamQuery::Condition;

constexpr size_t kFilterCharactersMax = 4096;
constexpr int64_t kTimeMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kTimeMax = std::numeric_limits<int64_t>::max();

template <class Value>
struct Named {
  absl::string_view name;
  Value value;
};

constexpr std::array<Named<Field>, 5> kFields = {{{"state", Field::kState},
                                                  {"close_reason", Field::kCloseReason},
                                                  {"peer_address", Field::kPeerAddress},
                                                  {"open_time", Field::kOpenTime},
                                                  {"last_time", Field::kLastTime}}};
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

bool IsTime(Field field) { return field == Field::kOpenTime || field == Field::kLastTime; }

bool IsEquality(Comparison comparison) {
  return comparison == Comparison::kEqual || comparison == Comparison::kNotEqual;
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
    SLUICE_ASSIGN_OR_RETURN(condition.comparison, ParseComparison());
    if (IsTime(condition.field) == IsEquality(condition.comparison)) {
      return Wrong(comparison_at, IsTime(condition.field)
                                      ? "a time can be compared with >=, >, <= and <"
                                      : "this field can be compared with = and !=");
    }
    SkipSpace();
    SLUICE_RETURN_IF_ERROR(ParseValue(&condition));
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

  absl::Status ParseValue(Condition* condition) {
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
        condition->peer = value.characters;
        condition->peer_is_prefix = value.ends_with_star;
        if (value.ends_with_star) condition->peer.pop_back();
        break;
      }
      case Field::kOpenTime:
      case Field::kLastTime: {
        absl::Time time;
        std::string error;
        if (!absl::ParseTime(absl::RFC3339_full, value.characters, &time, &error)) {
          return Wrong(at, absl::StrCat("\"", value.characters,
                                        "\" is not a time such as \"2026-01-01T00:00:00Z\""));
        }
        condition->time = UnixNanos{absl::ToUnixNanos(time)};
        break;
      }
    }
    return absl::OkStatus();
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

template <class Value>
bool Compare(const Value& a, Comparison comparison, const Value& b) {
  switch (comparison) {
    case Comparison::kEqual:
      return a == b;
    case Comparison::kNotEqual:
      return a != b;
    case Comparison::kLess:
      return a < b;
    case Comparison::kLessEqual:
      return a <= b;
    case Comparison::kMore:
      return a > b;
    case Comparison::kMoreEqual:
      return a >= b;
  }
  return false;
}

bool Meets(const Condition& condition, const StreamRow& row) {
  switch (condition.field) {
    case Field::kState:
      return Compare(row.open, condition.comparison, condition.open);
    case Field::kCloseReason:
      return Compare(row.reason, condition.comparison, condition.reason);
    case Field::kPeerAddress: {
      const std::string peer = row.peer.ToString();
      const bool alike = condition.peer_is_prefix ? absl::StartsWith(peer, condition.peer)
                                                  : peer == condition.peer;
      return alike == (condition.comparison == Comparison::kEqual);
    }
    case Field::kOpenTime:
      return Compare(row.opened, condition.comparison, condition.time);
    case Field::kLastTime:
      return Compare(row.last_time, condition.comparison, condition.time);
  }
  return false;
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

// The times are widened by a nanosecond, so that it does not matter which side of a bound the
// catalog includes.
StreamFilter StreamQuery::Prefilter() const {
  StreamFilter filter;
  for (const Condition& condition : conditions_) {
    const bool equal = condition.comparison == Comparison::kEqual;
    switch (condition.field) {
      case Field::kState:
        filter.open = condition.open == equal;
        break;
      case Field::kCloseReason:
        break;
      case Field::kPeerAddress:
        if (equal) filter.peer_prefix = condition.peer;
        break;
      case Field::kOpenTime:
      case Field::kLastTime:
        // A stream's life is [open_time, last_time], or goes on: one that begins after a time
        // also ends after it, and one that ends before a time also began before it.
        if (condition.comparison == Comparison::kMore ||
            condition.comparison == Comparison::kMoreEqual) {
          const UnixNanos since{std::max(condition.time.value, kTimeMin + 1) - 1};
          filter.since = std::max(filter.since.value_or(since), since);
        } else {
          const UnixNanos until{std::min(condition.time.value, kTimeMax - 1) + 1};
          filter.until = std::min(filter.until.value_or(until), until);
        }
        break;
    }
  }
  return filter;
}

bool StreamQuery::Matches(const StreamRow& row) const {
  return std::all_of(conditions_.begin(), conditions_.end(),
                     [&row](const Condition& condition) { return Meets(condition, row); });
}

}  // namespace sluice
