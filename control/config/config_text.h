// A protobuf text file, and where in it each field stands.
#ifndef CONTROL_CONFIG_CONFIG_TEXT_H_
#define CONTROL_CONFIG_CONFIG_TEXT_H_

#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice {

// Collects what is wrong in one file. Outlives the places that it gives out.
class ConfigText {
 public:
  explicit ConfigText(std::string name) : name_(std::move(name)) {}
  ConfigText(const ConfigText&) = delete;
  ConfigText& operator=(const ConfigText&) = delete;

  // Fills in `message`. Syntax errors and unknown fields go to errors().
  bool Parse(const std::string& text, google::protobuf::Message* message);

  // The place of one message in the file.
  class Place {
   public:
    // The place of a field that holds a message; of its `index`th if it is repeated.
    Place Sub(absl::string_view field, int index = -1) const;
    // An error at `field`, the first of a repeated one, or, where the file does not have it, at the
    // message around it.
    void Wrong(absl::string_view field, absl::string_view what) const;
    // An error at the message itself.
    void Wrong(absl::string_view what) const;
    // "FILE:LINE:COLUMN" of the field, or of the message.
    std::string Where(absl::string_view field = "") const;

   private:
    friend class ConfigText;
    using Location = google::protobuf::TextFormat::ParseLocation;

    Location Locate(absl::string_view field) const;

    ConfigText* text_ = nullptr;
    const google::protobuf::Descriptor* type_ = nullptr;
    const google::protobuf::TextFormat::ParseInfoTree* tree_ = nullptr;
    Location begin_;
  };

  // Of the whole file. Parse() comes first.
  Place root();

  // `line` and `column` count from 0, -1 is unknown.
  void AddError(int line, int column, absl::string_view what);
  bool ok() const { return errors_.empty(); }
  // INVALID_ARGUMENT with all errors, a line each; OK if there are none.
  absl::Status status() const;

 private:
  std::string Format(int line, int column) const;

  std::string name_;
  const google::protobuf::Descriptor* type_ = nullptr;
  google::protobuf::TextFormat::ParseInfoTree tree_;
  std::vector<std::string> errors_;
};

// How many single-character edits lie between two words.
size_t EditDistance(absl::string_view a, absl::string_view b);

}  // namespace sluice

#endif  // CONTROL_CONFIG_CONFIG_TEXT_H_
