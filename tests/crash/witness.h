// Reads what the catalog says again and again, in another process than the one that writes it.
#ifndef TESTS_CRASH_WITNESS_H_
#define TESTS_CRASH_WITNESS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "tests/crash/published.h"
#include "writer/catalog/catalog.h"

namespace sluice {

// On a thread of its own, about a thousand looks a second. The archive need not exist yet.
class Witness {
 public:
  explicit Witness(const std::string& archive);
  ~Witness() { Stop(); }
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;

  // The youngest segment that was seen; 0: none.
  uint64_t last_segment() const { return last_segment_; }

  // Looks once more, and ends. Everything that was ever seen.
  Published Stop();

 private:
  void Look();

  const std::string path_;
  std::unique_ptr<Catalog> catalog_;
  Published published_;
  std::atomic<uint64_t> last_segment_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace sluice

#endif  // TESTS_CRASH_WITNESS_H_
