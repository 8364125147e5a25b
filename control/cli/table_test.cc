#include "control/cli/table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace sluice {
namespace {

TEST(TableTest, AlignsColumns) {
  std::ostringstream out;
  Table table(out, {{"NAME"}, {"BYTES", Table::Align::kRight}, {"STATE"}});
  table.AddRow({"market", "1", "OPEN"});
  table.AddRow({"x", "123456", "CLOSED"});
  table.Flush();
  EXPECT_EQ(out.str(),
            "NAME     BYTES  STATE\n"
            "market       1  OPEN\n"
            "x       123456  CLOSED\n");
}

TEST(TableTest, PrintsHeadingsOnceAndKeepsWidths) {
  std::ostringstream out;
  Table table(out, {{"A"}, {"B"}});
  table.AddRow({"long one", "1"});
  table.Flush();
  table.AddRow({"s", "2"});
  table.Flush();
  EXPECT_EQ(out.str(),
            "A         B\n"
            "long one  1\n"
            "s         2\n");
}

TEST(TableTest, AnEmptyListStillHasHeadings) {
  std::ostringstream out;
  Table table(out, {{"A"}, {"B"}});
  table.Flush();
  EXPECT_EQ(out.str(), "A  B\n");
}

TEST(TableTest, CountsCharactersAndTamesControlCharacters) {
  std::ostringstream out;
  Table table(out, {{"A"}, {"B"}});
  table.AddRow({"é", "1"});
  table.AddRow({"\x1b", "2"});
  table.Flush();
  EXPECT_EQ(out.str(), "A  B\né  1\n?  2\n");
}

TEST(PropertiesTest, AlignsValuesAndLeavesOutEmptyOnes) {
  std::ostringstream out;
  {
    Properties properties(out);
    properties.Add("Name", "market");
    properties.Add("Failure", "");
    properties.Add("Listening on", "0.0.0.0:9000");
  }
  EXPECT_EQ(out.str(),
            "Name          market\n"
            "Listening on  0.0.0.0:9000\n");
}

}  // namespace
}  // namespace sluice
