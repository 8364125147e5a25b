#include "control/cli/status_line.h"

#include <array>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "control/cli/human.h"

namespace sluice {
namespace {

struct Piece {
  int rank;  // the highest goes first when room is short
  std::string text;
};

std::string Streams(const StatusLineFigures& figures) {
  const absl::string_view noun = figures.streams_open == 1 ? " stream" : " streams";
  return absl::StrCat(figures.streams_open, noun);
}

size_t Width(const std::vector<Piece>& pieces) {
  size_t width = 0;
  for (const Piece& piece : pieces) width += piece.text.size() + 2;
  return width == 0 ? 0 : width - 2;
}

}  // namespace

std::string FormatStatusLine(const StatusLineFigures& figures, size_t width) {
  std::vector<Piece> pieces = {
      {7, absl::StrFormat("%6s", HumanDuration(figures.elapsed))},
      {1, absl::StrFormat("%9s", HumanSize(figures.received))},
      {3, absl::StrFormat("%11s", HumanRate(figures.bytes_per_second))},
      {4, Streams(figures)},
      {8, absl::StrCat("(", figures.streams_opened, " seen)")},
      {6, absl::StrCat("lag ", HumanDuration(figures.durable_lag))},
      {figures.lost.value > 0 ? 0 : 5, absl::StrCat("lost ", HumanSize(figures.lost))},
  };
  while (pieces.size() > 1 && Width(pieces) > width) {
    std::erase_if(
        pieces,
        [worst = std::max_element(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
                   return a.rank < b.rank;
                 })->rank](const Piece& piece) { return piece.rank == worst; });
  }
  return absl::StrJoin(pieces, "  ",
                       [](std::string* out, const Piece& piece) { out->append(piece.text); })
      .substr(0, width);
}

}  // namespace sluice
