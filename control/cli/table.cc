#include "control/cli/table.h"

#include <algorithm>
#include <utility>

#include "control/cli/human.h"
#include "ingest/check.h"

namespace sluice {
namespace {

// In characters: UTF-8's continuation bytes take no room.
size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) >> 6) != 2; }));
}

std::string Padding(size_t width, const std::string& text) {
  const size_t taken = Width(text);
  return std::string(taken < width ? width - taken : 0, ' ');
}

}  // namespace

Table::Table(std::ostream& out, std::vector<Column> columns)
    : out_(&out), columns_(std::move(columns)) {
  for (const Column& column : columns_) widths_.push_back(Width(column.title));
}

void Table::AddRow(std::vector<std::string> cells) {
  SLUICE_CHECK(cells.size() == columns_.size());
  for (size_t i = 0; i < cells.size(); ++i) {
    cells[i] = Printable(cells[i]);
    widths_[i] = std::max(widths_[i], Width(cells[i]));
  }
  rows_.push_back(std::move(cells));
}

void Table::Flush() {
  if (!headings_printed_) {
    headings_printed_ = true;
    std::vector<std::string> titles;
    for (const Column& column : columns_) titles.push_back(column.title);
    Print(titles);
  }
  for (const std::vector<std::string>& row : rows_) Print(row);
  rows_.clear();
  out_->flush();
}

void Table::Print(const std::vector<std::string>& cells) {
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) *out_ << "  ";
    const std::string padding = Padding(widths_[i], cells[i]);
    if (columns_[i].align == Align::kRight) {
      *out_ << padding << cells[i];
    } else {
      *out_ << cells[i] << (i + 1 < cells.size() ? padding : "");
    }
  }
  *out_ << '\n';
}

void Properties::Add(std::string name, std::string value) {
  if (!value.empty()) lines_.emplace_back(std::move(name), Printable(value));
}

Properties::~Properties() {
  size_t width = 0;
  for (const auto& [name, value] : lines_) width = std::max(width, Width(name));
  for (const auto& [name, value] : lines_) {
    *out_ << name << Padding(width, name) << "  " << value << '\n';
  }
  out_->flush();
}

}  // namespace sluice
