#include "operations/shell/line_editor.hpp"
#include <histedit.h>
#include <sys/stat.h>
#include <cctype>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstring>

namespace roost::detail {
namespace {

constexpr int most_remembered = 1'000;
constexpr std::size_t most_shown = 60;

}  // namespace

struct line_editor::state {
  std::string history_file;
  completer complete;
  std::string prompt;
  EditLine* editor = nullptr;
  History* history = nullptr;

  static state& of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return *static_cast<state*>(self);
  }

  static char* show_prompt(EditLine* editor) { return of(editor).prompt.data(); }

  static unsigned char on_tab(EditLine* editor, int) {
    auto& me = of(editor);
    auto* line = el_line(editor);
    std::string before(line->buffer, line->cursor);
    std::vector<std::string> found;
    try {
      found = me.complete(before);
    } catch (const std::exception&) {
      return CC_ERROR;  // the node does not answer
    }
    if (found.empty()) return CC_ERROR;
    auto common = found.front();
    for (auto& one : found) {
      std::size_t same = 0;
      while (same < common.size() && same < one.size() && common[same] == one[same]) ++same;
      common.resize(same);
    }
    auto typed = overlap(before, common);
    if (typed < common.size()) {
      el_insertstr(editor, common.c_str() + typed);
      return CC_REFRESH;
    }
    if (found.size() == 1) return CC_ERROR;
    std::printf("\n");
    for (std::size_t i = 0; i < found.size() && i < most_shown; ++i)
      std::printf("%s  ", found[i].c_str());
    if (found.size() > most_shown) std::printf("… and %zu more", found.size() - most_shown);
    std::printf("\n");
    return CC_REDISPLAY;
  }

  /// How much of `word` the line ends with already.
  static std::size_t overlap(const std::string& line, const std::string& word) {
    for (auto size = std::min(line.size(), word.size()); size > 0; --size)
      if (line.compare(line.size() - size, size, word, 0, size) == 0) return size;
    return 0;
  }
};

line_editor::line_editor(std::string history_file, completer complete)
    : state_(std::make_unique<state>()) {
  if (std::setlocale(LC_CTYPE, "") == nullptr ||
      std::strcmp(std::setlocale(LC_CTYPE, nullptr), "C") == 0)
    std::setlocale(LC_CTYPE, "C.UTF-8");
  state_->history_file = std::move(history_file);
  state_->complete = std::move(complete);
  state_->editor = el_init("roost", stdin, stdout, stderr);
  el_set(state_->editor, EL_CLIENTDATA, state_.get());
  el_set(state_->editor, EL_PROMPT, &state::show_prompt);
  el_set(state_->editor, EL_EDITOR, "emacs");
  el_set(state_->editor, EL_ADDFN, "complete", "completes names", &state::on_tab);
  el_set(state_->editor, EL_BIND, "^I", "complete", nullptr);
  el_set(state_->editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(state_->editor, EL_SIGNAL, 0);
  state_->history = history_init();
  HistEvent event;
  history(state_->history, &event, H_SETSIZE, most_remembered);
  history(state_->history, &event, H_SETUNIQUE, 1);
  if (!state_->history_file.empty())
    history(state_->history, &event, H_LOAD, state_->history_file.c_str());
  el_set(state_->editor, EL_HIST, history, state_->history);
}

line_editor::~line_editor() {
  HistEvent event;
  if (!state_->history_file.empty()) {
    auto before = ::umask(0077);  // what was typed may hold secrets
    history(state_->history, &event, H_SAVE, state_->history_file.c_str());
    ::umask(before);
  }
  history_end(state_->history);
  el_end(state_->editor);
}

std::optional<line_editor::line> line_editor::read(const std::string& prompt) {
  state_->prompt = prompt;
  int count = 0;
  errno = 0;
  auto* text = el_gets(state_->editor, &count);
  if (text == nullptr && errno == EINTR) {
    el_reset(state_->editor);
    std::printf("\n");
    return line{.interrupted = true};
  }
  if (text == nullptr || count <= 0) return std::nullopt;
  std::string result(text, static_cast<std::size_t>(count));
  while (!result.empty() && (result.back() == '\n' || result.back() == '\r')) result.pop_back();
  return line{.text = std::move(result)};
}

void line_editor::remember(const std::string& line) {
  HistEvent event;
  history(state_->history, &event, H_ENTER, line.c_str());
}

}  // namespace roost::detail
