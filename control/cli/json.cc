#include "control/cli/json.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "ingest/check.h"

namespace sluice {

namespace {

std::string Print(const google::protobuf::Message& message, bool whitespace) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = whitespace;
  options.always_print_primitive_fields = true;
  std::string json;
  SLUICE_CHECK(google::protobuf::util::MessageToJsonString(message, &json, options).ok());
  absl::StripTrailingAsciiWhitespace(&json);
  return json;
}

}  // namespace

std::string ToJson(const google::protobuf::Message& message) { return Print(message, true); }
std::string ToJsonLine(const google::protobuf::Message& message) { return Print(message, false); }

std::string ToJson(const google::protobuf::Message& message,
                   const std::vector<std::pair<std::string, std::string>>& first) {
  const std::string json = ToJson(message);
  absl::string_view rest = json;
  SLUICE_CHECK(absl::ConsumePrefix(&rest, "{"));
  const bool has_members = absl::StripAsciiWhitespace(rest) != "}";
  std::string result = "{\n";
  for (size_t i = 0; i < first.size(); ++i) {
    const bool last = i + 1 == first.size() && !has_members;
    absl::StrAppend(&result, " \"", first[i].first, "\": ", first[i].second, last ? "\n" : ",\n");
  }
  absl::string_view members = rest;
  absl::ConsumePrefix(&members, "\n");
  return absl::StrCat(result, has_members ? members : "}");
}

std::string JsonString(const std::string& text) {
  google::protobuf::Value value;
  value.set_string_value(text);
  std::string json;
  // What is no UTF-8 cannot be said in JSON.
  return google::protobuf::util::MessageToJsonString(value, &json).ok() ? json : "\"\"";
}

std::string JsonStrings(const std::vector<std::string>& texts) {
  return absl::StrCat("[",
                      absl::StrJoin(texts, ", ",
                                    [](std::string* out, const std::string& text) {
                                      out->append(JsonString(text));
                                    }),
                      "]");
}

void JsonArray::Add(const google::protobuf::Message& message) {
  *out_ << (empty_ ? "[\n " : ",\n ") << absl::StrReplaceAll(ToJson(message), {{"\n", "\n "}});
  empty_ = false;
}

void JsonArray::End() { *out_ << (empty_ ? "[]" : "\n]") << std::endl; }

}  // namespace sluice
