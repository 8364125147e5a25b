// The program under test, and what the tests do with it all the time.
#ifndef TESTS_E2E_SLUICE_H_
#define TESTS_E2E_SLUICE_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/json.h"

namespace sluice {

using Words = std::vector<std::string>;

// `sluice WORDS...`, to be started.
ChildOptions Command(const Words& words);

// To its end.
Outcome RunSluice(const Words& words);
// Likewise, with --output json; its answer. Anything but success fails the test.
Json AskSluice(Words words);

// Looks, again and again, until it sees what it waits for; the last look otherwise, and the test
// fails.
Json Await(const std::function<Json()>& look, const std::function<bool(const Json&)>& seen);

// The stream that came from `peer_address`, as `sluice streams` lists it; null when it does not.
// `target` is {"--archive", DIR} or {"--socket", PATH}.
Json FindStream(const Words& target, const std::string& peer_address);
// Until so much of it is durable.
Json AwaitDurable(const Words& target, const std::string& peer_address, uint64_t bytes);

// The last part of its name, as in "1-0-7".
std::string StreamId(const Json& stream);

// "" when `sluice verify` finds no damage, else what it says.
std::string Verify(const std::string& archive);

}  // namespace sluice

#endif  // TESTS_E2E_SLUICE_H_
