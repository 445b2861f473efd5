#include "runtime/sys_debug.hpp"
#include "runtime/logger.hpp"
#include "runtime/process_core.hpp"
#include <algorithm>
#include <system_error>

namespace roost::detail {
namespace {

std::string line_of(const trace_event& event) {
  auto text = to_string(event.process);
  text += event.kind == trace_event::received ? " got " : " replied ";
  text += event.message;
  if (!event.peer) return text;
  text += event.kind == trace_event::received ? " from " : " to ";
  return text + to_string(event.peer);
}

}  // namespace

void print_event(const trace_event& event) { logger::notice(line_of(event)); }

bool sys_debug::is_idle() const noexcept { return !wants_text() && !counters_; }

bool sys_debug::wants_text() const noexcept {
  return tracer || prints || log_limit_ != 0 || file_ || !functions_.empty();
}

void sys_debug::happened(
    process& process, trace_event::kind_of_event what, const message& message, pid peer) {
  if (counters_) ++(what == trace_event::received ? counters_->in : counters_->out);
  if (!wants_text()) return;
  trace_event event{process.self(), what, describe(message), peer};
  if (tracer) send(tracer, event);
  if (prints) print_event(event);
  if (file_) {
    std::fprintf(file_.get(), "%s\n", line_of(event).c_str());
    std::fflush(file_.get());
  }
  if (!functions_.empty()) run_installed(process, event);
  if (log_limit_ == 0) return;
  if (log_.size() == log_limit_) log_.pop_front();
  log_.push_back(std::move(event));
}

void sys_debug::run_installed(process& process, const trace_event& event) {
  for (auto& each : functions_) {
    try {
      each.done = !each.function(event, *process.does);
    } catch (const std::exception& error) {
      each.done = true;
      logger::warning(
          "installed function removed, it threw",
          {{"process", to_string(event.process)}, {"id", each.id}, {"error", error.what()}});
    } catch (...) {
      each.done = true;
    }
  }
  std::erase_if(functions_, [](const installed& each) { return each.done; });
}

std::vector<std::string> sys_debug::switched_on() const {
  std::vector<std::string> list;
  if (tracer) list.push_back("trace to " + to_string(tracer));
  if (prints) list.emplace_back("trace");
  if (log_limit_ != 0) list.push_back("log " + std::to_string(log_limit_));
  if (file_) list.push_back("log_to_file " + file_name_);
  if (counters_) list.emplace_back("statistics");
  for (auto& each : functions_) list.push_back("install " + each.id);
  return list;
}

void sys_debug::keep_log(std::size_t events) {
  log_limit_ = events;
  while (log_.size() > events) log_.pop_front();
}

void sys_debug::open_file(const std::string& name) {
  if (name.empty()) return file_.reset();
  auto* file = std::fopen(name.c_str(), "ae");
  if (file == nullptr)
    throw std::system_error(
        errno, std::generic_category(), "expected " + name + " to be a file to write to, got");
  file_.reset(file);
  file_name_ = name;
}

void sys_debug::count(bool on, std::uint64_t reductions) {
  counters_.reset();
  if (on) counters_ = counters{reductions, 0, 0, std::chrono::system_clock::now()};
}

std::optional<sys::statistics_report> sys_debug::counted(std::uint64_t reductions) const {
  if (!counters_) return std::nullopt;
  sys::statistics_report report;
  report.reductions = reductions - counters_->reductions;
  report.messages_in = counters_->in;
  report.messages_out = counters_->out;
  report.start_time = counters_->since;
  report.current_time = std::chrono::system_clock::now();
  return report;
}

void sys_debug::install(std::string id, event_function function) {
  for (auto& each : functions_)
    if (each.id == id) return;
  functions_.push_back({std::move(id), std::move(function)});
}

void sys_debug::remove(std::string_view id) {
  std::erase_if(functions_, [&](const installed& each) { return each.id == id; });
}

void apply_debug_options(process& process, const debug_options& options) {
  auto debug = std::make_unique<sys_debug>();
  debug->prints = options.trace;
  debug->keep_log(options.log);
  if (options.statistics) debug->count(true, 0);
  if (!options.log_to_file.empty()) debug->open_file(options.log_to_file);
  process.more().debug = std::move(debug);
}

}  // namespace roost::detail
