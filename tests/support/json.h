// One JSON document, for tests: what is not there, or of another kind, fails the test.
#ifndef TESTS_SUPPORT_JSON_H_
#define TESTS_SUPPORT_JSON_H_

#include <google/protobuf/struct.pb.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sluice {

class Json {
 public:
  Json();  // null
  // Fails the test, and is null, when `text` is not exactly one document.
  static Json Parse(const std::string& text);

  bool is_null() const;
  bool is_array() const;
  bool is_object() const;
  bool is_string() const;
  bool Has(const std::string& member) const;

  Json operator[](const std::string& member) const;
  std::vector<Json> elements() const;  // of an array

  std::string text() const;  // a string
  bool truth() const;        // a bool
  double number() const;     // a number that is not quoted
  int64_t int64() const;     // which is a string, as 64-bit integers are

  std::string Dump() const;

 private:
  using Value = google::protobuf::Value;
  Json(std::shared_ptr<const Value> document, const Value* at)
      : document_(std::move(document)), at_(at) {}

  std::shared_ptr<const Value> document_;
  const Value* at_;
};

}  // namespace sluice

#endif  // TESTS_SUPPORT_JSON_H_
