// Rows under aligned headings.
#ifndef CONTROL_CLI_TABLE_H_
#define CONTROL_CLI_TABLE_H_

#include <ostream>
#include <string>
#include <vector>

namespace sluice {

// Prints page by page, so that a list of any length takes the memory of one page: columns are as
// wide as the widest cell so far.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  Table(std::ostream& out, std::vector<Column> columns);

  // As many cells as there are columns.
  void AddRow(std::vector<std::string> cells);
  // Prints the rows that were added since the last call, the headings before the first.
  void Flush();

 private:
  void Print(const std::vector<std::string>& cells);

  std::ostream* out_;
  std::vector<Column> columns_;
  std::vector<size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
  bool headings_printed_ = false;
};

// "NAME   VALUE" lines, the values under each other: for one thing with many properties.
class Properties {
 public:
  explicit Properties(std::ostream& out) : out_(&out) {}
  // An empty value is left out.
  void Add(std::string name, std::string value);
  ~Properties();
  Properties(const Properties&) = delete;
  Properties& operator=(const Properties&) = delete;

 private:
  std::ostream* out_;
  std::vector<std::pair<std::string, std::string>> lines_;
};

}  // namespace sluice

#endif  // CONTROL_CLI_TABLE_H_
