// The logger itself: the queue and its thread, the handlers, the settings.
#include "runtime/logger.hpp"
#include "runtime/config.hpp"
#include "runtime/logger_output.hpp"
#include "runtime/telemetry.hpp"
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace roost {

constinit std::atomic<int> detail::log_threshold{static_cast<int>(log_level::info)};

namespace {

using detail::sink;

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

sink default_sink(const logger_options& options) {
  return detail::with_burst_limit(
      detail::sink_for(options), options.burst_limit, options.burst_window);
}

/// The handlers, and how they are called; used by one thread at a time.
class dispatcher {
 public:
  dispatcher() { attach(logger::default_handler, default_sink({})); }

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

  /// Lets the outputs tell of what they have dropped; answers when to do so again.
  std::optional<sink::clock::time_point> settle_bursts(bool in_any_case = false) {
    std::optional<sink::clock::time_point> next;
    for (auto& entry : handlers_) {
      if (!entry->output.settle) continue;
      auto due = entry->output.settle(sink::clock::now(), in_any_case);
      if (due && (!next || *due < *next)) next = due;
    }
    return next;
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
      if (handlers_.empty()) detail::write_to_stderr(logger::format_text(failure) + '\n');
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
    if (sync_limit_ > 0) wait_for_room(lock);
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

  void set_limits(std::size_t limit, std::size_t sync_limit) {
    std::lock_guard lock(mutex_);
    limit_ = std::max<std::size_t>(limit, 16);
    sync_limit_ = sync_limit;
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

  /// By the system's clock, whose waits the thread sanitizer understands; if it is set meanwhile,
  /// the caller looks again.
  template <class Condition>
  static void wait_until(
      std::condition_variable& signal, std::unique_lock<std::mutex>& lock,
      sink::clock::time_point when, Condition condition) {
    auto left = when - sink::clock::now();
    signal.wait_until(
        lock,
        std::chrono::system_clock::now() +
            std::chrono::duration_cast<std::chrono::system_clock::duration>(left),
        condition);
  }

  /// Holds up a caller that is faster than the output, but not for ever.
  void wait_for_room(std::unique_lock<std::mutex>& lock) {
    ++waiting_;
    auto limit = sink::clock::now() + std::chrono::seconds(1);
    wait_until(room_, lock, limit, [&] {
      return mode_ != mode::queued || queue_.size() + in_hand_ < sync_limit_;
    });
    --waiting_;
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
    std::optional<sink::clock::time_point> due;
    while (auto dropped = take(batch, due)) {
      std::lock_guard working(dispatch_mutex_);
      for (auto& item : batch) handle(item);
      if (*dropped > 0) dispatcher_.dispatch(detail::dropped_event(*dropped));
      dispatcher_.flush();
      due = dispatcher_.settle_bursts();
      batch.clear();
    }
  }

  /// Waits for work, until `due` if there is such a time; answers how many lines were dropped
  /// behind it, or nothing at the end.
  std::optional<std::size_t> take(
      std::vector<item>& batch, std::optional<sink::clock::time_point> due) {
    std::unique_lock lock(mutex_);
    in_hand_ = in_hand_bytes_ = 0;
    overloaded_ = false;
    if (waiting_ > 0) room_.notify_all();
    auto has_work = [&] { return !queue_.empty() || dropped_ > 0 || mode_ != mode::queued; };
    if (due)
      wait_until(wake_, lock, *due, has_work);
    else
      wake_.wait(lock, has_work);
    if (queue_.empty() && dropped_ == 0 && mode_ != mode::queued) return std::nullopt;
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

  void close() {
    if (inside_handler) return;  // a handler called exit
    bool drained =
        run([](dispatcher& handlers) { handlers.settle_bursts(true); }, std::chrono::seconds(5));
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
  std::size_t sync_limit_ = logger_options().sync_limit;
  std::size_t waiting_ = 0;
  std::condition_variable room_;
  mode mode_ = mode::queued;
  std::thread thread_;

  std::atomic<bool> overloaded_ = false;  // a hint: lines were dropped since the thread last looked

  std::mutex dispatch_mutex_;  // guards dispatcher_; held while handlers run
  dispatcher dispatcher_;
};

log_event make_event(
    log_level level, std::string_view kind, std::string_view message,
    std::span<const log_argument> arguments) {
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

// --------------------------------------------------------------------------------------- logging

void logger::set_level(log_level level) noexcept {
  detail::log_threshold.store(static_cast<int>(level), std::memory_order_relaxed);
}

log_level logger::level() noexcept {
  return static_cast<log_level>(detail::log_threshold.load(std::memory_order_relaxed));
}

void logger::write(log_level level, std::string_view message, log_arguments fields) {
  auto& core = core::instance();
  if (!core.refuses(level))
    core.push(make_event(level, {}, message, {fields.begin(), fields.size()}));
}

void logger::write(log_event event) { core::instance().push(std::move(event)); }

namespace {

/// A report is an event as well, whatever the level: `roost.report`, with its fields as metadata.
void tell_telemetry(
    log_level level, std::string_view kind, std::string_view message,
    std::span<const log_argument> fields) {
  static const telemetry::event report{"roost.report"};
  if (!report.enabled()) return;
  std::vector<log_value> copies;
  copies.reserve(fields.size());
  std::vector<telemetry::argument> metadata{
      {"kind", kind}, {"level", to_string(level)}, {"message", message}};
  for (const auto& field : fields) {
    copies.push_back(field.value.copy());
    const auto& copy = copies.back();
    metadata.push_back(
        {field.name, std::visit([](const auto& value) { return telemetry::value(value); }, copy)});
  }
  auto time = std::chrono::system_clock::now().time_since_epoch();
  std::vector<telemetry::argument> measurements{{"system_time", time}};
  telemetry::execute(report, telemetry::values(measurements), telemetry::values(metadata));
}

}  // namespace

namespace {

void report_fields(
    log_level level, std::string_view kind, std::string_view message,
    std::span<const log_argument> fields) {
  tell_telemetry(level, kind, message, fields);
  if (!logger::enabled(level)) return;
  auto& core = core::instance();
  if (!core.refuses(level)) core.push(make_event(level, kind, message, fields));
}

}  // namespace

void logger::report(
    log_level level, std::string_view kind, std::string_view message, log_arguments fields) {
  report_fields(level, kind, message, {fields.begin(), fields.size()});
}

void logger::report(const crash_report& crash) {
  auto who = crash.name.empty() ? crash.process : crash.name + ' ' + crash.process;
  std::vector<log_argument> fields{
      {"process", crash.process},
      {"name", crash.name},
      {"initial_call", crash.initial_call},
      {"reason", crash.reason},
      {"where", crash.where},
      {"last_message", crash.last_message},
      {"state", crash.state},
      {"message_queue_len", crash.message_queue_len},
      {"ancestors", crash.ancestors},
      {"links", crash.links}};
  if (!crash.stack.empty()) fields.push_back({"stack", crash.stack});
  report_fields(
      log_level::error, "crash_report", "process " + who + " crashed: " + crash.reason, fields);
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
  return !inside_handler && core::instance().run(
                                [](dispatcher& handlers) {
                                  handlers.flush();
                                  handlers.settle_bursts(true);
                                },
                                timeout);
}

bool logger::is_filtered(std::string_view name) { return core::instance().filter.matches(name); }

// --------------------------------------------------------------------------------- configuration

namespace {

logger_options read_options(const config& section) {
  logger_options options;
  auto level = section.get<std::string>("level", "info");
  if (std::ranges::find(detail::level_names, level) == detail::level_names.end())
    throw section.error("level", fmt::format("one of {}", fmt::join(detail::level_names, ", ")));
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
  options.sync_limit = section.get_in<std::size_t>("sync_limit", 0, 0, 1'000'000);
  options.burst_limit =
      section.get_in<std::size_t>("burst_limit", options.burst_limit, 0, 1'000'000);
  options.burst_window = section.get("burst_window", options.burst_window);
  if (options.burst_window < std::chrono::milliseconds(1) ||
      options.burst_window > std::chrono::hours(1))
    throw section.error("burst_window", "between 1ms and 1h");
  options.filter = section.get("filter", options.filter);
  return options;
}

}  // namespace

void configure_logger(const logger_options& options) {
  auto sink = default_sink(options);
  auto& core = core::instance();
  core.filter.set(options.filter);
  core.set_limits(options.queue_limit, options.sync_limit);
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