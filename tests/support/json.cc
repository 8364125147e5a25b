#include "tests/support/json.h"

#include <google/protobuf/util/json_util.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "gtest/gtest.h"

namespace sluice {

using google::protobuf::Value;

Json::Json() : document_(std::make_shared<Value>()), at_(document_.get()) {}

Json Json::Parse(const std::string& text) {
  auto document = std::make_shared<Value>();
  const auto status = google::protobuf::util::JsonStringToMessage(text, document.get());
  if (!status.ok()) {
    ADD_FAILURE() << "no JSON: " << status.ToString() << "\n" << text;
    return Json();
  }
  const Value* const at = document.get();
  return Json(std::move(document), at);
}

bool Json::is_null() const {
  return at_->kind_case() == Value::kNullValue || at_->kind_case() == Value::KIND_NOT_SET;
}
bool Json::is_array() const { return at_->kind_case() == Value::kListValue; }
bool Json::is_object() const { return at_->kind_case() == Value::kStructValue; }
bool Json::is_string() const { return at_->kind_case() == Value::kStringValue; }

bool Json::Has(const std::string& member) const {
  return is_object() && at_->struct_value().fields().contains(member);
}

Json Json::operator[](const std::string& member) const {
  if (!Has(member)) {
    ADD_FAILURE() << "no member \"" << member << "\" in " << Dump();
    return Json();
  }
  return Json(document_, &at_->struct_value().fields().at(member));
}

std::vector<Json> Json::elements() const {
  if (!is_array()) ADD_FAILURE() << "not an array: " << Dump();
  std::vector<Json> elements;
  for (const Value& value : at_->list_value().values()) elements.push_back(Json(document_, &value));
  return elements;
}

std::string Json::text() const {
  if (!is_string()) ADD_FAILURE() << "not a string: " << Dump();
  return at_->string_value();
}

bool Json::truth() const {
  if (at_->kind_case() != Value::kBoolValue) ADD_FAILURE() << "neither true nor false: " << Dump();
  return at_->bool_value();
}

double Json::number() const {
  if (at_->kind_case() != Value::kNumberValue) ADD_FAILURE() << "not a number: " << Dump();
  return at_->number_value();
}

int64_t Json::int64() const {
  int64_t number = -1;
  if (!absl::SimpleAtoi(text(), &number)) ADD_FAILURE() << "not an integer: " << Dump();
  return number;
}

std::string Json::Dump() const {
  std::string text;
  if (is_null()) return "null";
  return google::protobuf::util::MessageToJsonString(*at_, &text).ok() ? text : "?";
}

}  // namespace sluice
