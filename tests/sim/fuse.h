// When the machine dies: at one of the moments between two things that the world can see.
#ifndef TESTS_SIM_FUSE_H_
#define TESTS_SIM_FUSE_H_

#include <cstdint>
#include <functional>
#include <utility>

namespace sluice {

class Fuse {
 public:
  // `blow` once, in the tick after `ticks` more.
  void Arm(uint64_t ticks, std::function<void()> blow) {
    left_ = ticks;
    blow_ = std::move(blow);
    blown_ = false;
  }
  void Disarm() { blow_ = nullptr; }
  void Tick() {
    if (blow_ == nullptr || left_-- > 0) return;
    blown_ = true;
    std::exchange(blow_, nullptr)();
  }
  // What is done from here on, nobody sees.
  bool blown() const { return blown_; }
  void Reset() { blown_ = false; }

 private:
  uint64_t left_ = 0;
  std::function<void()> blow_;
  bool blown_ = false;
};

}  // namespace sluice

#endif  // TESTS_SIM_FUSE_H_
