// Classes of how long a stream lived, in powers of four.
#ifndef WRITER_CATALOG_SPAN_H_
#define WRITER_CATALOG_SPAN_H_

#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"

namespace sluice {

// Who looks for streams that were alive at a time t would have to go through all that opened
// before t, for any of them may have lived that long. Within a class it is enough to begin at t
// less the class's width: few that are looked at there are not alive at t.
//
// Class n has the closed streams that lived for less than SpanWidth(n), and for no less than
// SpanWidth(n - 1).
inline constexpr int kSpanOther = 16;  // longer, or ended before it began: the clock was set
inline constexpr int kSpanOpen = 17;   // nobody knows yet
inline constexpr int kSpanCount = 18;

// In nanoseconds: a second for class 0, 34 years for class 15; kSpanOther and kSpanOpen have none.
constexpr int64_t SpanWidth(int span) {
  return span < kSpanOther ? int64_t{1'000'000'000} << (2 * span)
                           : std::numeric_limits<int64_t>::max();
}

// The class as an expression in SQL, of a stream that is closed.
inline std::string SpanOfClosed(const std::string& opened, const std::string& last) {
  const std::string lived = absl::StrCat("(", last, ") - (", opened, ")");
  std::string sql = absl::StrCat("CASE WHEN ", lived, " < 0 THEN ", kSpanOther);
  for (int span = 0; span < kSpanOther; ++span) {
    absl::StrAppend(&sql, " WHEN ", lived, " < ", SpanWidth(span), " THEN ", span);
  }
  return absl::StrCat(sql, " ELSE ", kSpanOther, " END");
}

}  // namespace sluice

#endif  // WRITER_CATALOG_SPAN_H_
