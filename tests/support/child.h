// A program that a test started.
#ifndef TESTS_SUPPORT_CHILD_H_
#define TESTS_SUPPORT_CHILD_H_

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sluice {

// For what must come, but never as a measure of how fast it comes.
inline constexpr std::chrono::seconds kPatience(180);

struct ChildOptions {
  std::vector<std::string> command;  // the first is the program's path
  // Runs in the child between fork and exec: limits, capabilities, mounts.
  std::function<void()> before_exec = {};
  // Standard output is for the caller, who reads it from out_fd().
  bool raw_out = false;
  // Standard error is a terminal with so many columns. Zero: a pipe.
  uint16_t terminal_columns = 0;
};

// Takes in what the program prints, on threads of its own. Destruction kills it.
class Child {
 public:
  explicit Child(const ChildOptions& options);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;

  // Until standard error holds `text`; false when the program ended without having said so.
  bool AwaitErr(const std::string& text) { return err_.Await(text); }
  bool AwaitOut(const std::string& text) { return out_.Await(text); }

  // Until it has ended and all that it said is here. Its exit code; 128 + n after signal n.
  int Wait();

  std::string out() const { return out_.text(); }
  std::string err() const { return err_.text(); }
  int out_fd() const { return out_fd_; }
  // The reader has had enough: the program gets EPIPE.
  void CloseOut();

 private:
  // What came through one pipe until now.
  class Sink {
   public:
    void ReadFrom(int fd);  // until its end
    bool Await(const std::string& text);
    std::string text() const;

   private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::string text_;
    bool ended_ = false;
  };

  pid_t pid_ = -1;
  int exit_code_ = -1;
  bool waited_ = false;
  int out_fd_ = -1;
  int err_fd_ = -1;
  Sink out_;
  Sink err_;
  std::thread out_reader_;
  std::thread err_reader_;
};

// What a program that ran to its end left.
struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

Outcome RunToEnd(const ChildOptions& options);

}  // namespace sluice

#endif  // TESTS_SUPPORT_CHILD_H_
