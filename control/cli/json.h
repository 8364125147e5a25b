// Messages of the API as JSON documents.
#ifndef CONTROL_CLI_JSON_H_
#define CONTROL_CLI_JSON_H_

#include <google/protobuf/message.h>

#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

// By protobuf's mapping: camelCase, 64-bit integers as strings. Figures that are zero are there.
std::string ToJson(const google::protobuf::Message& message);

// The same on one line.
std::string ToJsonLine(const google::protobuf::Message& message);

// The same, with members of our own in front: names, and values that are JSON already.
std::string ToJson(const google::protobuf::Message& message,
                   const std::vector<std::pair<std::string, std::string>>& first);

// One string, quoted and escaped; and an array of strings.
std::string JsonString(const std::string& text);
std::string JsonStrings(const std::vector<std::string>& texts);

// An array that is printed while it grows.
class JsonArray {
 public:
  explicit JsonArray(std::ostream& out) : out_(&out) {}
  void Add(const google::protobuf::Message& message);
  // The closing bracket; also of an array without elements.
  void End();

 private:
  std::ostream* out_;
  bool empty_ = true;
};

}  // namespace sluice

#endif  // CONTROL_CLI_JSON_H_
