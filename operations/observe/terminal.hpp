// private: a terminal that shows a screen and tells the keys. What it was like before comes back
// when this ends: by an exception, a signal, or in order.
#pragma once
#include "operations/observe/keys.hpp"
#include "operations/observe/screen.hpp"
#include <termios.h>
#include <chrono>

namespace roost::detail {

class terminal {
 public:
  terminal();  // one at a time; throws std::runtime_error when it is no terminal
  terminal(const terminal&) = delete;
  terminal& operator=(const terminal&) = delete;
  ~terminal();

  screen_size size() const;

  /// Writes the lines that have changed since the last time, at once.
  void show(const std::vector<screen_line>& lines, screen_size size);

  /// Waits until a key is pressed, the size has changed, or it is time.
  void wait(std::chrono::milliseconds longest);

  /// The keys that were pressed since the last time.
  std::vector<pressed> take_keys();
  /// Whether the size has changed since the last time it was asked.
  bool take_resized();
  /// Whether a signal says to end, or Ctrl-C was pressed. Cheap: asked while an answer is awaited.
  bool told_to_end();

 private:
  void read_keys();

  termios before_{};
  std::string typed_;
  std::vector<std::string> shown_;
  screen_size shown_size_{0, 0};
};

}  // namespace roost::detail
