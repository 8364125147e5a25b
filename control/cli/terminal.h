// What a terminal can: colors, and one line that is drawn again and again.
#ifndef CONTROL_CLI_TERMINAL_H_
#define CONTROL_CLI_TERMINAL_H_

#include <cstddef>
#include <string>

namespace sluice {

// Whether standard output is a terminal that shows colors, and nobody has asked for none
// (https://no-color.org).
bool OutputHasColors();

// On standard error. Silent when that is not a terminal. The line is cleared on destruction.
class LiveLine {
 public:
  LiveLine();
  ~LiveLine() { Clear(); }
  LiveLine(const LiveLine&) = delete;
  LiveLine& operator=(const LiveLine&) = delete;

  bool visible() const { return visible_; }
  // How many characters fit, asked anew each time: windows are resized.
  size_t width() const;
  void Draw(const std::string& text);
  // Before anything else is printed.
  void Clear();

 private:
  const bool visible_;
  bool drawn_ = false;
};

}  // namespace sluice

#endif  // CONTROL_CLI_TERMINAL_H_
