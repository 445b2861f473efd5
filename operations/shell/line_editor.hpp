// private: a line of input, edited, with history and completion; the only file that knows libedit.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace roost::detail {

class line_editor {
 public:
  /// What may stand instead of the last word of the line before the cursor.
  using completer = std::function<std::vector<std::string>(const std::string& line)>;

  /// The history is read from this file, and written there at the end; empty: none is kept.
  line_editor(std::string history_file, completer complete);
  line_editor(const line_editor&) = delete;
  line_editor& operator=(const line_editor&) = delete;
  ~line_editor();

  struct line {
    bool interrupted = false;  // Ctrl-C: what was typed is thrown away
    std::string text = {};
  };
  /// Nothing at the end of the input.
  std::optional<line> read(const std::string& prompt);

  void remember(const std::string& line);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace roost::detail
