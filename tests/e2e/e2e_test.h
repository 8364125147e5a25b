// A test with a directory of its own on a real disk.
#ifndef TESTS_E2E_E2E_TEST_H_
#define TESTS_E2E_E2E_TEST_H_

#include <cstdlib>
#include <filesystem>
#include <string>

#include "gtest/gtest.h"
#include "ingest/check.h"
#include "tests/bench/stream_content.h"
#include "tests/e2e/sluice.h"

namespace sluice {

class E2eTest : public ::testing::Test {
 protected:
  E2eTest() {
    std::string name = ::testing::TempDir() + "e2e-XXXXXX";
    SLUICE_CHECK(mkdtemp(name.data()) != nullptr);
    directory_ = name;
  }
  // At once, not when the whole test program has ended: these are large.
  ~E2eTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  const std::string& directory() const { return directory_; }
  std::string archive() const { return directory_ + "/archive"; }
  Words target() const { return {"--archive", archive()}; }
  const StreamContent& content() const { return content_; }

 private:
  std::string directory_;
  const StreamContent content_{7};
};

}  // namespace sluice

#endif  // TESTS_E2E_E2E_TEST_H_
