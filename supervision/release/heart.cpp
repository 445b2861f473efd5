#include "supervision/release/heart.hpp"
#include "runtime/logger.hpp"
#include "supervision/release/exit_codes.hpp"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace roost::detail {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

sigset_t heart_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int one : {SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) sigaddset(&signals, one);
  return signals;
}

class heart {
 public:
  heart(const heart_options& options, const heart_context& context)
      : options_(options), context_(context), backoff_(options.backoff) {
    auto signals = heart_signals();
    ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
    signals_ = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~heart() { ::close(signals_); }

  std::optional<int> run() {
    for (;;) {
      if (!start()) return std::nullopt;
      watch();
      if (auto code = after_end()) return code;
    }
  }

 private:
  /// Answers false in the node.
  bool start() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
      throw std::system_error(errno, std::generic_category(), "expected a pipe to the node");
    auto me = ::getpid();
    node_ = ::fork();
    if (node_ < 0) throw std::system_error(errno, std::generic_category(), "expected to fork");
    started_ = last_beat_ = clock::now();
    ready_ = stopping_ = hung_ = gone_ = false;
    ::close(ends[node_ == 0 ? 0 : 1]);
    if (node_ == 0) {
      become_node(ends[1], me);
      return false;
    }
    beats_ = ends[0];
    return true;
  }

  void become_node(int line, pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent)
      ::raise(SIGTERM);  // it died in between; the signal is blocked so far
    sigset_t mask = before_;
    for (int one : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&mask, one);
    ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
    line_to_heart().open(line);
    history_from_heart() = {backoff_.crashes(), last_end_, backtrace_};
  }

  void watch() {
    while (!gone_) {
      pollfd watched[] = {{signals_, POLLIN, 0}, {beats_, POLLIN, 0}};
      auto left = std::chrono::ceil<milliseconds>(deadline() - clock::now()).count();
      ::poll(watched, 2, static_cast<int>(std::clamp<long>(left, 0, 60'000)));
      if (watched[1].revents != 0) read_beats();
      if (watched[0].revents != 0) read_signals();
      if (!gone_ && clock::now() >= deadline()) kill_hung();
    }
    // What it wrote last may say that it was told to stop.
    if (beats_ >= 0) read_beats();
    if (beats_ >= 0) ::close(std::exchange(beats_, -1));
  }

  clock::time_point deadline() const {
    if (hung_) return last_beat_ + milliseconds(5000);
    bool never = options_.beat_timeout == milliseconds::max();
    return never ? clock::now() + milliseconds(60'000) : last_beat_ + options_.beat_timeout;
  }

  void read_beats() {
    std::array<char, 256> bytes;
    auto size = ::read(beats_, bytes.data(), bytes.size());
    // The node has closed its end: it is about to go, or can no longer beat.
    if (size == 0) ::close(std::exchange(beats_, -1));
    for (ssize_t i = 0; i < size; ++i) {
      if (!hung_) last_beat_ = clock::now();
      take(bytes[static_cast<std::size_t>(i)]);
    }
  }

  void take(char byte) {
    if (byte == 's') stopping_ = true;
    if (byte == 'n') {  // once more in the same process: it has replaced itself
      ready_ = false;
      started_ = clock::now();
    }
    if (byte == 'r' && !std::exchange(ready_, true) && context_.on_ready) context_.on_ready();
  }

  void read_signals() {
    signalfd_siginfo info{};
    while (::read(signals_, &info, sizeof info) == sizeof info) {
      auto number = static_cast<int>(info.ssi_signo);
      if (number == SIGCHLD) reap();
      // A terminal sends Ctrl-C to the node as well; twice would mean at once.
      else if (info.ssi_code != SI_KERNEL)
        ::kill(node_, number);
      if (number == SIGTERM || number == SIGINT) told_to_stop_ = true;
    }
  }

  void reap() {
    if (!gone_ && ::waitpid(node_, &status_, WNOHANG) == node_) gone_ = true;
  }

  void kill_hung() {
    if (hung_) {
      ::kill(node_, SIGKILL);
    } else {
      say(log_level::error, "the node's heartbeats have stopped, killing it",
          {{"os_pid", std::to_string(node_)},
           {"limit_ms", std::to_string(options_.beat_timeout.count())}});
      ::kill(node_, SIGABRT);  // leaves a backtrace and a core dump
    }
    hung_ = true;
    last_beat_ = clock::now();
  }

  /// The exit code if heart ends as well.
  std::optional<int> after_end() {
    bool exited = WIFEXITED(status_);
    int code = exited ? WEXITSTATUS(status_) : exit_code::cut_short;
    if (told_to_stop_ || stopping_ || (exited && exit_code::is_final(code))) return code;
    auto lived = std::chrono::duration_cast<milliseconds>(clock::now() - started_);
    auto delay = backoff_.after_death(ready_, lived);
    report_death(lived, delay);
    if (!delay) {
      say(log_level::critical,
          "heart gives up: the node died " + std::to_string(backoff_.boot_crashes()) +
              " times in a row before it was ready",
          {{"node", context_.node}, {"key", "heart.max_boot_crashes"}});
      return exit_code::given_up;
    }
    return pause(*delay);
  }

  void report_death(milliseconds lived, std::optional<milliseconds> delay) {
    last_end_ = describe_end(status_);
    // SIGKILL leaves no time to write one.
    bool told = WIFSIGNALED(status_) && WTERMSIG(status_) != SIGKILL;
    backtrace_ = told ? context_.crash_report : "none";
    std::vector<log_field> fields{
        {"node", context_.node},
        {"os_pid", std::to_string(node_)},
        {"reason", last_end_},
        {"crashes", static_cast<std::int64_t>(backoff_.crashes())},
        {"lived_ms", static_cast<std::int64_t>(lived.count())}};
    if (delay) fields.push_back({"restart_in_ms", static_cast<std::int64_t>(delay->count())});
    if (WIFSIGNALED(status_)) {
      fields.push_back({"core_dump", core_dump()});
      fields.push_back({"backtrace", backtrace_});
    }
    say(log_level::error, "the node died", std::move(fields));
  }

  std::string core_dump() const {
    std::ifstream file("/proc/sys/kernel/core_pattern");
    std::string pattern;
    std::getline(file, pattern);
    std::error_code error;
    auto directory = std::filesystem::current_path(error).string();
    return describe_core(pattern, WCOREDUMP(status_), node_, directory);
  }

  /// Answers an exit code when told to stop meanwhile.
  std::optional<int> pause(milliseconds delay) {
    auto until = clock::now() + delay;
    while (clock::now() < until) {
      pollfd watched{signals_, POLLIN, 0};
      auto left = std::chrono::ceil<milliseconds>(until - clock::now()).count();
      if (::poll(&watched, 1, static_cast<int>(std::max<long>(left, 0))) <= 0) continue;
      signalfd_siginfo info{};
      while (::read(signals_, &info, sizeof info) == sizeof info)
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) return exit_code::in_order;
    }
    return std::nullopt;
  }

  /// Without the logger, whose thread a fork would lose.
  void say(log_level level, const std::string& message, std::vector<log_field> fields) const {
    log_event event{
        .time = std::chrono::system_clock::now(),
        .level = level,
        .message = message,
        .kind = "heart_report",
        .fields = std::move(fields)};
    auto line = (context_.json ? logger::format_json(event) : logger::format_text(event)) + '\n';
    [[maybe_unused]] auto written = ::write(STDERR_FILENO, line.data(), line.size());
  }

  heart_options options_;
  heart_context context_;
  restart_backoff backoff_;
  sigset_t before_{};
  int signals_ = -1;
  int beats_ = -1;
  pid_t node_ = 0;
  int status_ = 0;
  clock::time_point started_;
  clock::time_point last_beat_;
  bool ready_ = false;
  bool stopping_ = false;  // the node was told so by others
  bool told_to_stop_ = false;
  bool hung_ = false;
  bool gone_ = false;
  std::string last_end_;
  std::string backtrace_;
};

}  // namespace

heart_options read_heart_options(
    const config& config, const std::function<const char*(const char*)>& variable) {
  heart_options options;
  auto section = config.section("heart");
  options.beat_timeout = section.get("beat_timeout", options.beat_timeout);
  if (options.beat_timeout < milliseconds(1000))
    throw section.error("beat_timeout", "at least 1s, or infinity");
  auto& backoff = options.backoff;
  backoff.max_boot_crashes =
      section.get_in<int>("max_boot_crashes", backoff.max_boot_crashes, 1, 1'000'000);
  backoff.first_delay = section.get("first_delay", backoff.first_delay);
  backoff.longest_delay = section.get("longest_delay", backoff.longest_delay);
  backoff.stable_after = section.get("stable_after", backoff.stable_after);
  if (const char* given = variable("HEART_BEAT_TIMEOUT"); given != nullptr && *given != '\0') {
    int seconds = 0;
    std::string_view text(given);
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    // OTP has the same range.
    if (error != std::errc() || end != text.data() + text.size() || seconds <= 10 ||
        seconds > 65535)
      throw config_error(
          "expected HEART_BEAT_TIMEOUT to be 11–65535 seconds, got " + std::string(text));
    options.beat_timeout = std::chrono::seconds(seconds);
  }
  return options;
}

void heart_line::write(char byte) const {
  // A full pipe has beats enough in it. SIGPIPE is ignored by the node.
  if (int descriptor = descriptor_; descriptor >= 0) [[maybe_unused]]
    auto written = ::write(descriptor, &byte, 1);
}

heart_line& line_to_heart() {
  static heart_line line;
  return line;
}

heart_history& history_from_heart() {
  static heart_history history;
  return history;
}

std::optional<int> run_heart(const heart_options& options, const heart_context& context) {
  return heart(options, context).run();
}

std::string describe_end(int status) {
  if (!WIFSIGNALED(status)) return "exit code " + std::to_string(WEXITSTATUS(status));
  int number = WTERMSIG(status);
  const char* name = ::sigabbrev_np(number);
  return "signal " + std::to_string(number) + " (" +
         (name != nullptr ? "SIG" + std::string(name) : "unknown") + ")";
}

std::string describe_core(
    std::string_view pattern, bool dumped, long pid, const std::string& directory) {
  if (!dumped) return "none; `ulimit -c unlimited` allows them";
  auto number = std::to_string(pid);
  if (pattern.starts_with('|')) {
    auto program = pattern.substr(1, pattern.find(' ') - 1);
    bool systemd = program.find("systemd-coredump") != program.npos;
    return systemd ? "coredumpctl info " + number : "piped to " + std::string(program);
  }
  auto file = std::string(pattern);
  if (auto at = file.find("%p"); at != file.npos) file.replace(at, 2, number);
  return file.starts_with('/') ? file : directory + "/" + file;
}

}  // namespace roost::detail
