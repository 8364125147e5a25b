#include "control/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace sluice {
namespace {

bool IsCapableTerminal(int fd) {
  if (isatty(fd) == 0) return false;
  const char* type = std::getenv("TERM");
  return type != nullptr && std::string_view(type) != "dumb";
}

}  // namespace

bool OutputHasColors() {
  const char* none = std::getenv("NO_COLOR");
  return (none == nullptr || *none == '\0') && IsCapableTerminal(STDOUT_FILENO);
}

LiveLine::LiveLine() : visible_(IsCapableTerminal(STDERR_FILENO)) {}

size_t LiveLine::width() const {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return std::max<size_t>(size.ws_col, 1);
}

void LiveLine::Draw(const std::string& text) {
  if (!visible_) return;
  // Cut, never wrapped: a wrapped line cannot be drawn over. The last column stays free, because
  // some terminals wrap as soon as it is used.
  const std::string line = text.substr(0, width() - 1);
  std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void LiveLine::Clear() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace sluice
