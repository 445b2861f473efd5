#include "runtime/logger.hpp"
#include "runtime/config.hpp"
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <ctime>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace roost {

constinit std::atomic<int> detail::log_threshold{static_cast<int>(log_level::info)};

namespace {

using out = std::back_insert_iterator<std::string>;

constexpr std::array<std::string_view, 9> level_names{
    "none", "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"};

// ---------------------------------------------------------------------------------------- text

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

/// Appends text that others may have chosen: control characters must not drive a terminal, and what
/// follows a newline must not pass for a line of its own.
void append_escaped(std::string& to, std::string_view text, std::string_view newline) {
  for (char c : text) {
    if (c == '\n')
      to += newline;
    else if (is_control(c) && c != '\t')
      fmt::format_to(out(to), "\\x{:02x}", static_cast<unsigned char>(c));
    else
      to += c;
  }
}

void append_word(std::string& to, std::string_view text) {
  bool plain = !text.empty() && std::ranges::none_of(text, [](char c) {
    return is_control(c) || c == ' ' || c == '"' || c == '=';
  });
  if (plain) {
    to += text;
    return;
  }
  std::string quoted;
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  to += '"';
  append_escaped(to, quoted, "\\n");
  to += '"';
}

struct text_of_value {
  std::string& to;
  bool in_block;  // a report's field has its line for itself and needs no quotes

  void operator()(const std::string& text) const {
    in_block ? append_escaped(to, text, "\n    ") : append_word(to, text);
  }
  void operator()(const std::vector<std::string>& list) const {
    to += '[';
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (i > 0) to += ", ";
      append_word(to, list[i]);
    }
    to += ']';
  }
  void operator()(auto value) const { fmt::format_to(out(to), "{}", value); }
};

bool is_empty(const log_value& value) {
  const auto* text = std::get_if<std::string>(&value);
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  return (text && text->empty()) || (list && list->empty());
}

void append_fields(std::string& to, const log_event& event) {
  bool in_block = !event.kind.empty();
  for (const auto& field : event.fields) {
    if (in_block && is_empty(field.value)) continue;
    to += in_block ? "\n  " : " ";
    append_escaped(to, field.name, "\\n");
    to += in_block ? ": " : "=";
    std::visit(text_of_value{to, in_block}, field.value);
  }
}

std::string_view color_of(log_level level) {  // as Elixir's console
  if (level <= log_level::error) return "\x1b[31m";
  if (level == log_level::warning) return "\x1b[33m";
  return level == log_level::debug ? "\x1b[36m" : "";
}

std::tm calendar(std::chrono::system_clock::time_point time, bool utc) {
  auto second = std::chrono::floor<std::chrono::seconds>(time);
  auto count = std::chrono::system_clock::to_time_t(second);
  std::tm parts{};
  utc ? ::gmtime_r(&count, &parts) : ::localtime_r(&count, &parts);
  return parts;
}

int milliseconds_of(std::chrono::system_clock::time_point time) {
  auto past = time - std::chrono::floor<std::chrono::seconds>(time);
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(past).count());
}

// ---------------------------------------------------------------------------------------- JSON

/// The length of the well-formed UTF-8 sequence at the start of `text`, or 0.
std::size_t utf8_length(std::string_view text) {
  auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  auto follows = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  auto lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0 && follows(1)) return 2;
  if (lead < 0xE0 || !follows(1) || !follows(2)) return 0;
  auto first_two = lead << 8 | byte(1);  // rules out long forms and surrogates
  if (lead < 0xF0) return first_two >= 0xE0A0 && (first_two & 0xFFE0) != 0xEDA0 ? 3 : 0;
  return follows(3) && first_two >= 0xF090 && first_two < 0xF490 ? 4 : 0;
}

void append_json(std::string& to, std::string_view text) {
  to += '"';
  while (!text.empty()) {
    auto length = utf8_length(text);
    if (length == 0) {
      to += "\xEF\xBF\xBD";  // readers refuse a whole line for one wrong byte
    } else if (is_control(text[0])) {
      fmt::format_to(out(to), "\\u{:04x}", static_cast<unsigned char>(text[0]));
    } else {
      if (text[0] == '"' || text[0] == '\\') to += '\\';
      to += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  to += '"';
}

struct json_of_value {
  std::string& to;

  void operator()(const std::string& text) const { append_json(to, text); }
  void operator()(double value) const {
    auto text = fmt::format("{}", value);
    std::isfinite(value) ? void(to += text) : append_json(to, text);  // JSON has no infinity
  }
  void operator()(const std::vector<std::string>& list) const {
    to += '[';
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (i > 0) to += ',';
      append_json(to, list[i]);
    }
    to += ']';
  }
  void operator()(auto value) const { fmt::format_to(out(to), "{}", value); }
};

// -------------------------------------------------------------------------------------- handlers

std::string line_of(const log_event& event, log_format format, bool colors) {
  return format == log_format::json ? logger::format_json(event)
                                    : logger::format_text(event, colors);
}

/// Writes with one system call where it can, so that lines of several programs do not mix. A broken
/// stderr is left alone: there is nobody to tell.
void write_to_stderr(std::string_view text) {
  while (!text.empty()) {
    auto written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // another program made our terminal non-blocking
      pollfd stderr_ready{STDERR_FILENO, POLLOUT, 0};
      ::poll(&stderr_ready, 1, 1000);
    } else if (errno != EINTR) {
      return;
    }
  }
}

bool stderr_has_colors() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) && !std::getenv("NO_COLOR") &&
         std::string_view(term ? term : "dumb") != "dumb";
}

/// What the logger attaches: a log_handler, and for files a way to push out what they hold back.
struct sink {
  log_handler handle;
  std::function<void()> flush;
};

sink stderr_sink(log_format format) {
  bool colors = stderr_has_colors();
  auto handle = [=](const log_event& event) {
    write_to_stderr(line_of(event, format, colors) + '\n');
  };
  return {handle, {}};
}

/// A file that rotates. A full disk may have room again later, so a failure is told on stderr,
/// once, and the file is tried again with the next line.
class log_file {
 public:
  explicit log_file(const logger_options& options)
      : format_(options.format),
        sink_(options.file, static_cast<std::size_t>(options.max_file_size), options.max_files) {
    sink_.set_pattern("%v");
  }

  void handle(const log_event& event) {
    auto line = line_of(event, format_, false);
    attempt([&] { sink_.log(spdlog::details::log_msg("", spdlog::level::info, line)); });
    unflushed_ = true;
    if (event.level <= log_level::error) flush();
  }

  void flush() {
    // Only a flush that has something to write proves that there is room: a line may have gone to a
    // buffer, and after an error the buffer is empty.
    if (!std::exchange(unflushed_, false)) return;
    if (attempt([&] { sink_.flush(); })) failing_ = false;
  }

 private:
  template <class Action>
  bool attempt(Action action) {
    try {
      action();
      return true;
    } catch (const spdlog::spdlog_ex& error) {
      if (!std::exchange(failing_, true))
        write_to_stderr(fmt::format("log lines are lost: {}\n", error.what()));
      return false;
    }
  }

  log_format format_;
  spdlog::sinks::rotating_file_sink_st sink_;
  bool unflushed_ = false;
  bool failing_ = false;
};

sink sink_for(const logger_options& options) {
  if (options.file.empty()) return stderr_sink(options.format);
  auto file = std::make_shared<log_file>(options);
  return {[file](const log_event& event) { file->handle(event); }, [file] { file->flush(); }};
}

// ---------------------------------------------------------------------------------------- filter

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool contains_ignoring_case(std::string_view text, std::string_view word) {
  auto same = [](char a, char b) { return lower(a) == lower(b); };
  return std::search(text.begin(), text.end(), word.begin(), word.end(), same) != text.end();
}

class name_filter {
 public:
  void set(std::vector<std::string> words) {
    std::lock_guard lock(mutex_);
    words_ = std::move(words);
  }

  bool matches(std::string_view name) const {
    std::lock_guard lock(mutex_);
    return std::ranges::any_of(
        words_, [&](const auto& word) { return contains_ignoring_case(name, word); });
  }

  void apply(log_event& event) const {
    for (auto& field : event.fields)
      if (matches(field.name)) field.value = std::string("[FILTERED]");
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> words_ = logger_options().filter;
};

// ------------------------------------------------------------------------------------ dispatcher

/// The handlers, and how they are called; used by one thread at a time.
class dispatcher {
 public:
  dispatcher() { attach(logger::default_handler, stderr_sink(log_format::text)); }

  void attach(logger::handler_id id, sink sink) {
    detach(id);
    handlers_.push_back(std::make_unique<entry>(id, std::move(sink)));
  }

  bool detach(logger::handler_id id) {
    auto found = std::ranges::find_if(
        handlers_, [&](const auto& entry) { return entry->id == id && !entry->detached; });
    if (found == handlers_.end()) return false;
    (*found)->detached = true;
    // A handler that detaches itself must outlive its own call.
    if (depth_ == 0) drop_detached();
    return true;
  }

  void dispatch(const log_event& event) {
    ++depth_;
    // By index, as a handler may attach another one meanwhile.
    for (std::size_t i = 0; i < handlers_.size(); ++i)
      if (!handlers_[i]->detached) call(*handlers_[i], event);
    --depth_;
    settle();
  }

  void flush() {
    for (auto& entry : handlers_)
      if (entry->output.flush) entry->output.flush();
  }

 private:
  struct entry {
    entry(logger::handler_id id, sink output) : id(id), output(std::move(output)) {}

    logger::handler_id id;
    sink output;
    bool detached = false;
  };

  void call(entry& entry, const log_event& event) {
    try {
      entry.output.handle(event);
    } catch (const std::exception& error) {
      give_up(entry, error.what());
    } catch (...) {
      give_up(entry, "unknown exception");
    }
  }

  void give_up(entry& entry, std::string reason) {
    entry.detached = true;
    failures_.push_back(
        {.time = std::chrono::system_clock::now(),
         .level = log_level::error,
         .message = "log handler detached",
         .fields = {
             {"handler", static_cast<std::int64_t>(entry.id)}, {"reason", std::move(reason)}}});
  }

  void drop_detached() {
    std::erase_if(handlers_, [](const auto& entry) { return entry->detached; });
  }

  /// Tells the handlers that are left of those that threw. Each round has fewer, so it ends.
  void settle() {
    if (depth_ > 0) return;
    drop_detached();
    for (auto failures = std::exchange(failures_, {}); const auto& failure : failures) {
      if (handlers_.empty()) write_to_stderr(logger::format_text(failure) + '\n');
      dispatch(failure);
    }
  }

  std::vector<std::unique_ptr<entry>> handlers_;
  std::vector<log_event> failures_;
  int depth_ = 0;
};

// ----------------------------------------------------------------------------------------- core

// True on a thread that runs handlers; waiting for the queue there would be waiting for itself.
thread_local bool inside_handler = false;

std::size_t weight(const log_event& event) {
  auto bytes = sizeof(event) + event.message.size();
  for (const auto& field : event.fields) {
    bytes += sizeof(field) + field.name.size();
    if (const auto* text = std::get_if<std::string>(&field.value)) bytes += text->size();
    if (const auto* list = std::get_if<std::vector<std::string>>(&field.value))
      for (const auto& item : *list) bytes += sizeof(std::string) + item.size();
  }
  return bytes;
}

/// The queue and its thread. Everything that has to happen in the order of the lines, such as
/// detaching a handler, travels through the queue as a command.
class core {
 public:
  using command = std::function<void(dispatcher&)>;

  core() {
    std::atexit([] { instance().close(); });
  }

  // Never destroyed: destructors of other static objects may still log.
  static core& instance() {
    static core& only = *new core;
    return only;
  }

  /// Asked before a line is copied, so that dropping it is cheap when there are many.
  bool refuses(log_level level) {
    if (inside_handler) return true;
    if (!overloaded_.load(std::memory_order_relaxed)) return false;
    std::lock_guard lock(mutex_);
    if (!is_full(level)) return false;
    ++dropped_;
    return true;
  }

  void push(log_event event) {
    if (inside_handler) return;
    auto bytes = weight(event);
    std::unique_lock lock(mutex_);
    if (mode_ == mode::queued && is_full(event.level)) {
      ++dropped_;
      overloaded_ = true;
      return;
    }
    queued_bytes_ += bytes;
    submit(lock, {std::move(event), {}});
  }

  /// Runs a command after everything that was logged before it. False if it was not done in time.
  bool run(command command, std::chrono::milliseconds timeout) {
    if (inside_handler) {
      command(dispatcher_);  // this thread holds dispatch_mutex_
      return true;
    }
    auto done = std::make_shared<std::promise<void>>();
    auto finished = done->get_future();
    std::unique_lock lock(mutex_);
    if (mode_ == mode::closed) return false;
    submit(lock, {{}, [done, command = std::move(command)](dispatcher& dispatcher) {
                    command(dispatcher);
                    done->set_value();
                  }});
    if (timeout == timeout.max()) finished.wait();  // wait_for would overflow
    return timeout == timeout.max() || finished.wait_for(timeout) == std::future_status::ready;
  }

  void set_limit(std::size_t limit) {
    std::lock_guard lock(mutex_);
    limit_ = std::max<std::size_t>(limit, 16);
  }

  name_filter filter;
  std::atomic<logger::handler_id> next_id = logger::default_handler + 1;

 private:
  struct item {
    log_event event;
    command run;  // if set, there is no event
  };

  // queued: the normal way. direct: after exit, or without a thread, the caller does the work.
  // closed: a handler hangs at exit, and nobody should hang with it.
  enum class mode { queued, direct, closed };

  static constexpr std::size_t byte_limit = 32u << 20;

  bool is_full(log_level level) const {
    std::size_t quarters = level <= log_level::error ? 5 : 4;
    return queue_.size() + in_hand_ >= limit_ * quarters / 4 ||
           queued_bytes_ + in_hand_bytes_ >= byte_limit / 4 * quarters;
  }

  void submit(std::unique_lock<std::mutex>& lock, item item) {
    if (mode_ == mode::queued && !thread_.joinable() && !start()) mode_ = mode::direct;
    if (mode_ == mode::queued) {
      bool idle = queue_.empty();
      queue_.push_back(std::move(item));
      lock.unlock();
      if (idle) wake_.notify_one();  // else the thread is at work, or woken already
      return;
    }
    bool direct = mode_ == mode::direct;
    lock.unlock();
    if (direct) handle_here(item);
  }

  void handle_here(item& item) {
    std::lock_guard working(dispatch_mutex_);
    inside_handler = true;
    handle(item);
    dispatcher_.flush();
    inside_handler = false;
  }

  bool start() {
    // The program's signals are for its own threads.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      thread_ = std::thread([this] { loop(); });
      ::pthread_setname_np(thread_.native_handle(), "roost logger");
    } catch (const std::system_error&) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return thread_.joinable();
  }

  void loop() {
    inside_handler = true;
    std::vector<item> batch;
    while (auto dropped = take(batch)) {
      std::lock_guard working(dispatch_mutex_);
      for (auto& item : batch) handle(item);
      if (*dropped > 0) report_dropped(*dropped);
      dispatcher_.flush();
      batch.clear();
    }
  }

  /// Waits for work; answers how many lines were dropped behind it, or nothing at the end.
  std::optional<std::size_t> take(std::vector<item>& batch) {
    std::unique_lock lock(mutex_);
    in_hand_ = in_hand_bytes_ = 0;
    overloaded_ = false;
    wake_.wait(lock, [&] { return !queue_.empty() || dropped_ > 0 || mode_ != mode::queued; });
    if (queue_.empty() && dropped_ == 0) return std::nullopt;
    batch.swap(queue_);
    in_hand_ = batch.size();
    in_hand_bytes_ = std::exchange(queued_bytes_, 0);
    return std::exchange(dropped_, 0);
  }

  void handle(item& item) {
    if (item.run) return item.run(dispatcher_);
    filter.apply(item.event);
    dispatcher_.dispatch(item.event);
  }

  void report_dropped(std::size_t count) {
    dispatcher_.dispatch(
        {.time = std::chrono::system_clock::now(),
         .level = log_level::warning,
         .message = fmt::format("{} messages dropped", count),
         .fields = {{"dropped", static_cast<std::int64_t>(count)}}});
  }

  void close() {
    if (inside_handler) return;  // a handler called exit
    bool drained = run([](dispatcher&) {}, std::chrono::seconds(5));
    {
      std::lock_guard lock(mutex_);
      if (mode_ != mode::queued) return;
      mode_ = drained ? mode::direct : mode::closed;
    }
    wake_.notify_one();
    if (drained) thread_.join();
  }

  std::mutex mutex_;  // guards the members up to thread_; held for moments only
  std::condition_variable wake_;
  std::vector<item> queue_;
  std::size_t queued_bytes_ = 0;
  std::size_t in_hand_ = 0;  // taken by the thread, but not handled yet
  std::size_t in_hand_bytes_ = 0;
  std::size_t dropped_ = 0;
  std::size_t limit_ = logger_options().queue_limit;
  mode mode_ = mode::queued;
  std::thread thread_;

  std::atomic<bool> overloaded_ = false;  // a hint: lines were dropped since the thread last looked

  std::mutex dispatch_mutex_;  // guards dispatcher_; held while handlers run
  dispatcher dispatcher_;
};

log_event make_event(
    log_level level, std::string_view kind, std::string_view message, log_arguments arguments) {
  log_event event{
      .time = std::chrono::system_clock::now(),
      .level = level,
      .message = std::string(message),
      .kind = std::string(kind)};
  event.fields.reserve(arguments.size());
  for (const auto& argument : arguments)
    event.fields.push_back({std::string(argument.name), argument.value.copy()});
  return event;
}

}  // namespace

// ---------------------------------------------------------------------------------------- values

std::string_view to_string(log_level level) {
  auto index = static_cast<int>(level) + 1;
  return level_names[static_cast<std::size_t>(index)];
}

log_level to_log_level(std::string_view name) {
  auto found = std::ranges::find(level_names, name);
  if (found == level_names.end())
    throw std::invalid_argument(
        fmt::format("expected level to be one of {}, got {}", fmt::join(level_names, ", "), name));
  return static_cast<log_level>(found - level_names.begin() - 1);
}

const log_value* log_event::field(std::string_view name) const {
  auto found = std::ranges::find(fields, name, &log_field::name);
  return found == fields.end() ? nullptr : &found->value;
}

log_value log_view::copy() const {
  switch (kind_) {
    case kind::integer:
      return integer_;
    case kind::real:
      return real_;
    case kind::boolean:
      return boolean_;
    case kind::list:
      return *list_;
    case kind::natural:
      if (integer_ >= 0) return integer_;
      return std::to_string(static_cast<std::uint64_t>(integer_));
    case kind::text:
      break;
  }
  return std::string(text_);
}

// --------------------------------------------------------------------------------------- logging

void logger::set_level(log_level level) noexcept {
  detail::log_threshold.store(static_cast<int>(level), std::memory_order_relaxed);
}

void logger::write(log_level level, std::string_view message, log_arguments fields) {
  auto& core = core::instance();
  if (!core.refuses(level)) core.push(make_event(level, {}, message, fields));
}

void logger::write(log_event event) { core::instance().push(std::move(event)); }

void logger::report(
    log_level level, std::string_view kind, std::string_view message, log_arguments fields) {
  if (!enabled(level)) return;
  auto& core = core::instance();
  if (!core.refuses(level)) core.push(make_event(level, kind, message, fields));
}

void logger::report(const crash_report& crash) {
  if (!enabled(log_level::error)) return;
  auto who = crash.name.empty() ? crash.process : crash.name + ' ' + crash.process;
  report(
      log_level::error, "crash_report", "process " + who + " crashed: " + crash.reason,
      {{"process", crash.process},
       {"name", crash.name},
       {"initial_call", crash.initial_call},
       {"reason", crash.reason},
       {"where", crash.where},
       {"last_message", crash.last_message},
       {"state", crash.state},
       {"message_queue_len", crash.message_queue_len},
       {"ancestors", crash.ancestors},
       {"links", crash.links}});
}

logger::handler_id logger::attach(log_handler handler) {
  auto& core = core::instance();
  auto id = core.next_id.fetch_add(1);
  auto attach = [id, handler = std::move(handler)](dispatcher& handlers) {
    handlers.attach(id, {handler, {}});
  };
  core.run(attach, {});  // no need to wait: later lines are behind it in the queue
  return id;
}

bool logger::detach(handler_id id) {
  auto found = std::make_shared<bool>(false);
  core::instance().run(
      [=](dispatcher& handlers) { *found = handlers.detach(id); },
      std::chrono::milliseconds::max());
  return *found;
}

bool logger::flush(std::chrono::milliseconds timeout) {
  return !inside_handler &&
         core::instance().run([](dispatcher& handlers) { handlers.flush(); }, timeout);
}

bool logger::is_filtered(std::string_view name) { return core::instance().filter.matches(name); }

std::string logger::format_text(const log_event& event, bool colors) {
  auto color = colors ? color_of(event.level) : "";
  auto line = fmt::format(
      "{:%Y-%m-%d %H:%M:%S}.{:03} {}[{}]{} ", calendar(event.time, false),
      milliseconds_of(event.time), color, to_string(event.level), color.empty() ? "" : "\x1b[0m");
  if (!event.kind.empty()) line += event.kind + ": ";
  append_escaped(line, event.message, "\n  ");
  append_fields(line, event);
  return line;
}

std::string logger::format_json(const log_event& event) {
  auto line = fmt::format(
      R"({{"time":"{:%Y-%m-%dT%H:%M:%S}.{:03}Z","level":"{}","message":)",
      calendar(event.time, true), milliseconds_of(event.time), to_string(event.level));
  append_json(line, event.message);
  if (!event.kind.empty()) append_json(line += R"(,"kind":)", event.kind);
  const char* separator = R"(,"fields":{)";
  for (const auto& field : event.fields) {
    append_json(line += std::exchange(separator, ","), field.name);
    std::visit(json_of_value{line += ':'}, field.value);
  }
  return line += event.fields.empty() ? "}" : "}}";
}

// --------------------------------------------------------------------------------- configuration

namespace {

logger_options read_options(const config& section) {
  logger_options options;
  auto level = section.get<std::string>("level", "info");
  if (std::ranges::find(level_names, level) == level_names.end())
    throw section.error("level", fmt::format("one of {}", fmt::join(level_names, ", ")));
  options.level = to_log_level(level);
  auto format = section.get<std::string>("format", "text");
  if (format != "text" && format != "json") throw section.error("format", "text or json");
  options.format = format == "json" ? log_format::json : log_format::text;
  options.file = section.get("file", options.file);
  options.max_file_size = section.get("max_file_size", byte_size{options.max_file_size}).bytes;
  if (options.max_file_size == 0) throw section.error("max_file_size", "at least 1 byte");
  options.max_files = section.get_in<std::size_t>("max_files", options.max_files, 1, 1000);
  options.queue_limit =
      section.get_in<std::size_t>("queue_limit", options.queue_limit, 16, 1'000'000);
  options.filter = section.get("filter", options.filter);
  return options;
}

}  // namespace

void configure_logger(const logger_options& options) {
  sink sink;
  try {
    sink = sink_for(options);
  } catch (const spdlog::spdlog_ex& error) {
    throw std::invalid_argument(fmt::format(
        "expected {} to be a writable log file, got \"{}\"", options.file, error.what()));
  }
  auto& core = core::instance();
  core.filter.set(options.filter);
  core.set_limit(options.queue_limit);
  logger::set_level(options.level);
  core.run([sink](dispatcher& handlers) { handlers.attach(logger::default_handler, sink); }, {});
}

void configure_logger(const config& config) {
  auto section = config.section("logger");
  auto options = read_options(section);
  try {
    configure_logger(options);
  } catch (const std::invalid_argument&) {
    throw section.error("file", "a writable log file");
  }
}

}  // namespace roost
