#include "runtime/telemetry.hpp"
#include "runtime/epoch.hpp"
#include "runtime/logger.hpp"
#include "runtime/process.hpp"
#include <cxxabi.h>
#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace roost::telemetry {

// --- values --------------------------------------------------------------------------------------

void value::throw_not(std::string_view wanted) const {
  throw std::invalid_argument(
      "expected the value to be " + std::string(wanted) + ", got " + to_string());
}

std::int64_t value::integer() const {
  if (kind_ != kind::integer && kind_ != kind::natural) throw_not("an integer");
  return integer_;
}

double value::real() const {
  switch (kind_) {
    case kind::real:
      return real_;
    case kind::integer:
      return static_cast<double>(integer_);
    case kind::natural:
      return static_cast<double>(static_cast<std::uint64_t>(integer_));
    default:
      throw_not("a number");
  }
}

bool value::boolean() const {
  if (kind_ != kind::boolean) throw_not("true or false");
  return boolean_;
}

std::string_view value::text() const {
  if (kind_ != kind::text) throw_not("a text");
  return text_;
}

std::string value::to_string() const {
  switch (kind_) {
    case kind::text:
      return std::string(text_);
    case kind::integer:
      return std::to_string(integer_);
    case kind::natural:
      return std::to_string(static_cast<std::uint64_t>(integer_));
    case kind::real:
      return std::to_string(real_);
    case kind::boolean:
      return boolean_ ? "true" : "false";
    case kind::object:
      break;
  }
  return "(object)";
}

const value* values::find(std::string_view name) const noexcept {
  for (auto& one : *this)
    if (one.name == name) return &one.value;
  return nullptr;
}

const value& values::operator[](std::string_view name) const {
  if (auto* found = find(name)) return *found;
  std::string present;
  for (auto& one : *this) present.append(present.empty() ? "" : ", ").append(one.name);
  throw std::out_of_range(
      "expected a value " + std::string(name) + ", got " + (present.empty() ? "none" : present));
}

// --- handlers ------------------------------------------------------------------------------------

namespace detail {

struct attached {
  std::string id;
  handler function;
};

/// Never changes: attaching and detaching put another list in its place.
struct handler_list { std::vector<std::shared_ptr<const attached>> all; };

}  // namespace detail

namespace {

using detail::attached;
using detail::event_point;
using detail::handler_list;

struct handlers_of_events;
using handler_epoch = roost::detail::epoch<handlers_of_events>;

constexpr std::chrono::seconds longest_wait{5};

struct attachment {
  std::shared_ptr<const attached> handler;
  std::vector<event_point*> events;
};

class registry {
 public:
  static registry& instance() {
    static auto& registry = *new class registry;  // outlives every thread
    return registry;
  }

  event_point& point(std::string name) {
    std::lock_guard guard{mutex_};
    return point_locked(std::move(name));
  }

  event_point* find_point(std::string_view name) {
    std::lock_guard guard{mutex_};
    auto found = points_.find(std::string(name));
    return found == points_.end() ? nullptr : found->second.get();
  }

  void attach(std::string_view id, const std::vector<std::string>& events, handler function) {
    std::vector<old_list> garbage;
    std::lock_guard guard{mutex_};
    if (attachments_.find(id) != attachments_.end())
      throw already_exists(
          "expected the handler id " + std::string(id) +
          " to be free, got one that is attached (already_exists)");
    attachment fresh{std::make_shared<attached>(std::string(id), std::move(function)), {}};
    for (auto& name : events) {
      auto* point = &point_locked(name);
      if (std::find(fresh.events.begin(), fresh.events.end(), point) == fresh.events.end())
        fresh.events.push_back(point);
    }
    auto& kept = attachments_.emplace(id, std::move(fresh)).first->second;
    for (auto* point : kept.events)
      replace(*point, [&](auto& list) { list.push_back(kept.handler); });
    take_old(garbage);
  }

  /// With `only`, if the id still belongs to that handler.
  bool detach(std::string_view id, const attached* only = nullptr) {
    std::shared_ptr<const attached> handler;
    std::vector<old_list> garbage;
    std::lock_guard guard{mutex_};
    auto found = attachments_.find(id);
    if (found == attachments_.end()) return false;
    handler = found->second.handler;
    if (only != nullptr && handler.get() != only) return false;
    for (auto* point : found->second.events)
      replace(*point, [&](auto& list) { std::erase(list, handler); });
    attachments_.erase(found);
    take_old(garbage);
    return true;
  }

  void free_detached() {
    std::vector<old_list> garbage;
    std::lock_guard guard{mutex_};
    take_old(garbage);
  }

  std::vector<handler_info> list(std::string_view prefix) {
    std::vector<handler_info> found;
    std::lock_guard guard{mutex_};
    for (auto& [id, attachment] : attachments_)
      for (auto* point : attachment.events)
        if (begins_with(point->name, prefix)) found.push_back({id, point->name});
    return found;
  }

 private:
  struct old_list {
    std::unique_ptr<const handler_list> list;
    std::uint64_t epoch;
  };

  static bool begins_with(std::string_view name, std::string_view prefix) {
    return prefix.empty() || (name.starts_with(prefix) &&
                              (name.size() == prefix.size() || name[prefix.size()] == '.'));
  }

  // The caller of what follows holds the lock.

  event_point& point_locked(std::string name) {
    if (name.empty())
      throw std::invalid_argument("expected the name of an event to be some text, got none");
    auto& place = points_[name];
    if (!place) {
      place = std::make_unique<event_point>();
      place->name = std::move(name);
    }
    return *place;
  }

  template <class F>
  void replace(event_point& point, F change) {
    std::unique_ptr<const handler_list> before{point.handlers.load(std::memory_order_relaxed)};
    auto after = std::make_unique<handler_list>();
    if (before) after->all = before->all;
    change(after->all);
    old_.reserve(old_.size() + 1);
    point.handlers.store(after->all.empty() ? nullptr : after.release(), std::memory_order_seq_cst);
    if (before) old_.push_back({std::move(before), handler_epoch::present()});
  }

  /// What nobody runs any more. It is freed without the lock, as handlers hold what they like.
  void take_old(std::vector<old_list>& garbage) {
    auto now = handler_epoch::try_advance();
    auto kept = std::partition(old_.begin(), old_.end(), [&](const old_list& one) {
      return !handler_epoch::is_over(one.epoch, now);
    });
    garbage.assign(std::make_move_iterator(kept), std::make_move_iterator(old_.end()));
    old_.erase(kept, old_.end());
  }

  std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<event_point>> points_;
  std::map<std::string, attachment, std::less<>> attachments_;
  std::vector<old_list> old_;
};

std::int64_t nanoseconds(std::chrono::steady_clock::time_point time) {
  return std::chrono::nanoseconds(time.time_since_epoch()).count();
}

std::int64_t system_nanoseconds() {
  return std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// What is thrown, in Erlang's words.
struct failure {
  std::string_view kind;
  std::string reason;
};

/// In a catch clause.
failure present_failure() {
  try {
    throw;
  } catch (const process_exit& exit) {
    return {"exit", exit.reason().to_string()};
  } catch (const std::exception& error) {
    return {"error", error.what()};
  } catch (...) {
    auto* type = abi::__cxa_current_exception_type();
    return {"throw", type != nullptr ? type->name() : "unknown"};
  }
}

/// In a catch clause. Of several executions that fail at the same time, one says so.
void handler_failed(const event_point& point, const attached& handler) {
  static const event failed{"telemetry.handler.failure"};
  auto why = present_failure();
  if (!registry::instance().detach(handler.id, &handler)) return;
  logger::error(
      "telemetry handler failed", {{"handler_id", handler.id},
                                   {"event", point.name},
                                   {"kind", why.kind},
                                   {"reason", why.reason}});
  execute(
      failed,
      {{"monotonic_time", nanoseconds(std::chrono::steady_clock::now())},
       {"system_time", system_nanoseconds()}},
      {{"event_name", point.name},
       {"handler_id", handler.id},
       {"kind", why.kind},
       {"reason", why.reason}});
}

}  // namespace

void attach(std::string_view id, std::string_view event, handler handler) {
  attach_many(id, {std::string(event)}, std::move(handler));
}

void attach_many(std::string_view id, const std::vector<std::string>& events, handler handler) {
  if (!handler) throw std::invalid_argument("expected a handler to be a function, got none");
  registry::instance().attach(id, events, std::move(handler));
}

bool detach(std::string_view id) {
  if (!registry::instance().detach(id)) return false;
  if (handler_epoch::wait_for_readers(longest_wait)) registry::instance().free_detached();
  return true;
}

std::vector<handler_info> list_handlers(std::string_view prefix) {
  return registry::instance().list(prefix);
}

// --- executing -----------------------------------------------------------------------------------

namespace detail {

event_point& point_of(std::string_view prefix, std::string_view suffix) {
  return registry::instance().point(std::string(prefix).append(suffix));
}

void execute(const event_point& point, const values& measurements, const values& metadata) {
  handler_epoch::pin running;
  auto* list = point.handlers.load(std::memory_order_seq_cst);
  if (list == nullptr) return;
  for (auto& handler : list->all) {
    try {
      handler->function(point.name, measurements, metadata);
    } catch (...) {
      handler_failed(point, *handler);
    }
  }
}

}  // namespace detail

const detail::event_point& event::find_point() const {
  auto& point = detail::point_of(prefix_, suffix_);
  point_.store(&point, std::memory_order_release);
  return point;
}

void execute(std::string_view event, arguments measurements, arguments metadata) {
  auto* point = registry::instance().find_point(event);
  if (point == nullptr || point->handlers.load(std::memory_order_relaxed) == nullptr) return;
  detail::execute(
      *point, values(measurements.begin(), measurements.size()),
      values(metadata.begin(), metadata.size()));
}

// --- spans ---------------------------------------------------------------------------------------

void outcome::add(std::vector<owned>& to, std::string_view name, telemetry::value value) {
  to.push_back({std::string(name), {}, value});
}

void outcome::note(std::string_view name, std::string text) {
  metadata_.push_back({std::string(name), std::move(text), std::string_view()});
}

running_span::running_span(const span_event& event, const values& metadata)
    : event_(event),
      metadata_(metadata),
      context_(make_ref().value),
      begin_(std::chrono::steady_clock::now()) {
  std::vector<argument> measurements{
      {"monotonic_time", nanoseconds(begin_)}, {"system_time", system_nanoseconds()}};
  execute(event_.start, measurements, context());
}

std::vector<argument> running_span::context() const {
  std::vector<argument> all(metadata_.begin(), metadata_.end());
  if (metadata_.find("telemetry_span_context") == nullptr)
    all.push_back({"telemetry_span_context", context_});
  return all;
}

void running_span::stop(const outcome& outcome) {
  auto end = std::chrono::steady_clock::now();
  std::vector<argument> measurements{
      {"duration", end - begin_}, {"monotonic_time", nanoseconds(end)}};
  for (auto& one : outcome.measurements_) measurements.push_back({one.name, one.value});
  auto metadata = context();
  for (auto& one : outcome.metadata_)
    metadata.push_back({one.name, one.text.empty() ? one.value : value(one.text)});
  execute(event_.stop, measurements, metadata);
}

void running_span::failed() {
  auto end = std::chrono::steady_clock::now();
  auto why = present_failure();
  std::vector<argument> measurements{
      {"duration", end - begin_}, {"monotonic_time", nanoseconds(end)}};
  auto metadata = context();
  metadata.push_back({"kind", why.kind});
  metadata.push_back({"reason", why.reason});
  execute(event_.exception, measurements, metadata);
}

}  // namespace roost::telemetry
