#include "operations/observe/terminal.hpp"
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <stdexcept>

namespace roost::detail {
namespace {

// The screen beside the usual one, without cursor; and back.
constexpr std::string_view enter = "\x1b[?1049h\x1b[?25l\x1b[2J";
constexpr std::string_view leave = "\x1b[0m\x1b[?25h\x1b[?1049l";

volatile std::sig_atomic_t ending = 0;
volatile std::sig_atomic_t resized = 0;

void on_end(int) { ending = 1; }
void on_resize(int) { resized = 1; }

// Without SA_RESTART, so that poll() ends.
constexpr struct {
  int signal;
  void (*handler)(int);
} handled[] = {
    {SIGTERM, on_end},
    {SIGINT, on_end},
    {SIGHUP, on_end},
    {SIGQUIT, on_end},
    {SIGWINCH, on_resize}};

std::array<struct sigaction, std::size(handled)> actions_before;

void write_all(std::string_view text) {
  while (!text.empty()) {
    auto written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

terminal::terminal() {
  if (::tcgetattr(STDIN_FILENO, &before_) != 0)
    throw std::runtime_error("expected the input to be a terminal, got something else");
  for (std::size_t at = 0; at < std::size(handled); ++at) {
    struct sigaction action {};
    action.sa_handler = handled[at].handler;
    ::sigaction(handled[at].signal, &action, &actions_before[at]);
  }
  auto raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
  raw.c_iflag &= ~static_cast<tcflag_t>(IXON | ICRNL);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
  write_all(enter);
}

terminal::~terminal() {
  write_all(leave);
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  for (std::size_t at = 0; at < std::size(handled); ++at)
    ::sigaction(handled[at].signal, &actions_before[at], nullptr);
}

screen_size terminal::size() const {
  winsize now{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) != 0 || now.ws_col == 0 || now.ws_row == 0)
    return {};
  return {now.ws_col, now.ws_row};
}

void terminal::show(const std::vector<screen_line>& lines, screen_size size) {
  std::string out;
  if (size.width != shown_size_.width || size.height != shown_size_.height) {
    out += "\x1b[0m\x1b[2J";
    shown_.assign(size.height, std::string());
    shown_size_ = size;
  }
  for (std::size_t at = 0; at < lines.size() && at < size.height; ++at) {
    auto text = as_ansi(lines[at], size.width);
    if (text == shown_[at]) continue;
    // The rest of the line goes first: after a full line it would take the last letter with it.
    out += "\x1b[" + std::to_string(at + 1) + ";1H\x1b[2K" + text;
    shown_[at] = std::move(text);
  }
  write_all(out);
}

void terminal::read_keys() {
  char bytes[256];
  for (;;) {
    auto got = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    typed_.append(bytes, static_cast<std::size_t>(got));
    if (got < static_cast<ssize_t>(sizeof bytes)) return;
  }
}

void terminal::wait(std::chrono::milliseconds longest) {
  pollfd watched{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (ending != 0 || resized != 0) return;
  ::poll(&watched, 1, static_cast<int>(longest.count()));
  if ((watched.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) ending = 1;
  if ((watched.revents & POLLIN) != 0) read_keys();
}

std::vector<pressed> terminal::take_keys() {
  // A sequence that never ended, such as Escape alone, is forgotten with the next key.
  auto keys = keys_in(typed_);
  if (typed_.size() > 16) typed_.clear();
  return keys;
}

bool terminal::take_resized() {
  bool now = resized != 0;
  resized = 0;
  return now;
}

bool terminal::told_to_end() {
  read_keys();
  return ending != 0 || typed_.find_first_of("qQ\x03") != std::string::npos;
}

}  // namespace roost::detail
