#include "control/config/config_text.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>

#include <algorithm>
#include <compare>
#include <cstddef>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::TextFormat;

// The closest field of `type`, or all of them when none is close.
std::string FieldHint(const Descriptor& type, absl::string_view unknown) {
  std::vector<std::string> names;
  std::string closest;
  size_t distance = std::max<size_t>(unknown.size() / 3, 2) + 1;
  for (int i = 0; i < type.field_count(); ++i) {
    const std::string& name = type.field(i)->name();
    names.push_back(name);
    const size_t d = EditDistance(unknown, name);
    // "size" for "segment_size" is close too, however many characters are missing.
    const bool part = unknown.size() >= 4 &&
                      (absl::StrContains(name, unknown) || absl::StrContains(unknown, name));
    if (d < distance || (part && closest.empty())) {
      distance = std::min(d, distance);
      closest = name;
    }
  }
  if (!closest.empty()) return absl::StrCat("; did you mean \"", closest, "\"?");
  return absl::StrCat("; there are: ", absl::StrJoin(names, ", "));
}

// The text between the first pair of `quote`s after `marker`.
absl::string_view Quoted(absl::string_view text, absl::string_view marker) {
  const size_t at = text.find(marker);
  if (at == absl::string_view::npos) return "";
  const absl::string_view rest = text.substr(at + marker.size());
  return rest.substr(0, rest.find('"'));
}

// Lines and columns as protobuf's tokenizer counts them: from 0, tab stops every 8.
struct Cursor {
  int line = 0;
  int column = 0;
  void Pass(char c) {
    if (c == '\n') {
      ++line;
      column = 0;
    } else {
      column += c == '\t' ? 8 - column % 8 : 1;
    }
  }
  auto operator<=>(const Cursor&) const = default;
};

// Where the last `word` begins that ends before `end`: protobuf reports an unknown field at the
// token after it.
Cursor LastBefore(absl::string_view text, absl::string_view word, Cursor end) {
  Cursor found = end;
  Cursor at;
  for (size_t i = 0; i < text.size() && at < end; ++i) {
    if (absl::StartsWith(text.substr(i), word)) found = at;
    at.Pass(text[i]);
  }
  return found;
}

class SyntaxErrors final : public google::protobuf::io::ErrorCollector {
 public:
  SyntaxErrors(ConfigText* file, absl::string_view text,
               const google::protobuf::DescriptorPool* pool)
      : file_(file), text_(text), pool_(pool) {}

  // In protobuf's words, or in ours where we know better.
  void AddError(int line, int column, const std::string& message) override {
    const absl::string_view field = Quoted(message, "has no field named \"");
    const absl::string_view type = Quoted(message, "Message type \"");
    const Descriptor* descriptor =
        type.empty() ? nullptr : pool_->FindMessageTypeByName(std::string(type));
    if (field.empty() || descriptor == nullptr) {
      file_->AddError(line, column, absl::StripSuffix(message, "."));
      return;
    }
    const Cursor at = LastBefore(text_, field, {line, column});
    file_->AddError(at.line, at.column,
                    absl::StrCat("unknown field \"", field, "\"", FieldHint(*descriptor, field)));
  }

 private:
  ConfigText* file_;
  absl::string_view text_;
  const google::protobuf::DescriptorPool* pool_;
};

}  // namespace

size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

bool ConfigText::Parse(const std::string& text, google::protobuf::Message* message) {
  type_ = message->GetDescriptor();
  SyntaxErrors collector(this, text, type_->file()->pool());
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&collector);
  parser.WriteLocationsTo(&tree_);
  if (!parser.ParseFromString(text, message) && ok()) AddError(-1, -1, "cannot be parsed");
  return ok();
}

ConfigText::Place ConfigText::root() {
  Place place;
  place.text_ = this;
  place.type_ = type_;
  place.tree_ = &tree_;
  place.begin_ = {0, 0};
  return place;
}

std::string ConfigText::Format(int line, int column) const {
  if (line < 0) return name_;
  return absl::StrCat(name_, ":", line + 1, ":", column + 1);
}

void ConfigText::AddError(int line, int column, absl::string_view what) {
  errors_.push_back(absl::StrCat(Format(line, column), ": ", what));
}

absl::Status ConfigText::status() const {
  if (ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
}

ConfigText::Place ConfigText::Place::Sub(absl::string_view field, int index) const {
  const FieldDescriptor* descriptor = type_->FindFieldByName(std::string(field));
  Place sub = *this;
  sub.type_ = descriptor->message_type();
  sub.tree_ = tree_ == nullptr ? nullptr : tree_->GetTreeForNested(descriptor, index);
  if (tree_ != nullptr) {
    const Location location = tree_->GetLocation(descriptor, index);
    if (location.line >= 0) sub.begin_ = location;
  }
  return sub;
}

ConfigText::Place::Location ConfigText::Place::Locate(absl::string_view field) const {
  if (field.empty() || tree_ == nullptr) return begin_;
  const FieldDescriptor* const descriptor = type_->FindFieldByName(std::string(field));
  const Location location = tree_->GetLocation(descriptor, descriptor->is_repeated() ? 0 : -1);
  return location.line < 0 ? begin_ : location;
}

void ConfigText::Place::Wrong(absl::string_view field, absl::string_view what) const {
  const Location at = Locate(field);
  text_->AddError(at.line, at.column, what);
}

void ConfigText::Place::Wrong(absl::string_view what) const { Wrong("", what); }

std::string ConfigText::Place::Where(absl::string_view field) const {
  const Location at = Locate(field);
  return text_->Format(at.line, at.column);
}

}  // namespace sluice
