#include "tests/e2e/sluice.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr std::chrono::milliseconds kLookAgain(20);

// Bazel starts tests where their data is; a child may be elsewhere.
std::string ProgramPath() {
  static const std::string path = [] {
    char* const here = getcwd(nullptr, 0);
    std::string program = absl::StrCat(here, "/control/sluice");
    std::free(here);
    return program;
  }();
  return path;
}

}  // namespace

ChildOptions Command(const Words& words) {
  ChildOptions options;
  options.command = {ProgramPath()};
  options.command.insert(options.command.end(), words.begin(), words.end());
  return options;
}

Outcome RunSluice(const Words& words) { return RunToEnd(Command(words)); }

Json AskSluice(Words words) {
  words.insert(words.end(), {"--output", "json"});
  const Outcome outcome = RunSluice(words);
  EXPECT_EQ(outcome.code, 0) << testing::PrintToString(words) << ": " << outcome.err;
  return outcome.code == 0 ? Json::Parse(outcome.out) : Json();
}

Json Await(const std::function<Json()>& look, const std::function<bool(const Json&)>& seen) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  Json last = look();
  while (!seen(last)) {
    if (testing::Test::HasFailure() || std::chrono::steady_clock::now() > end) {
      ADD_FAILURE() << "does not come; last seen: " << last.Dump();
      break;
    }
    std::this_thread::sleep_for(kLookAgain);
    last = look();
  }
  return last;
}

Json FindStream(const Words& target, const std::string& peer_address) {
  Words words = {"streams", "--filter", absl::StrCat("peer_address = \"", peer_address, "\"")};
  words.insert(words.end(), target.begin(), target.end());
  const Json list = AskSluice(words);
  if (list.is_null()) return Json();
  const std::vector<Json> found = list.elements();
  return found.empty() ? Json() : found.back();
}

Json AwaitDurable(const Words& target, const std::string& peer_address, uint64_t bytes) {
  return Await([&] { return FindStream(target, peer_address); },
               [&](const Json& stream) {
                 return !stream.is_null() &&
                        stream["durableBytes"].int64() >= static_cast<int64_t>(bytes);
               });
}

std::string StreamId(const Json& stream) {
  const std::string name = stream["name"].text();
  return name.substr(name.rfind('/') + 1);
}

std::string Verify(const std::string& archive) {
  const Outcome outcome = RunSluice({"verify", "--archive", archive});
  return outcome.code == 0 ? "" : absl::StrCat(outcome.out, outcome.err);
}

}  // namespace sluice
