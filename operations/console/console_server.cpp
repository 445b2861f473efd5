#include "operations/console/console_server.hpp"
#include "operations/console/answers.hpp"
#include "operations/console/dynamic.hpp"
#include "runtime/blocking.hpp"
#include "runtime/distribution/guests.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/logger.hpp"
#include "runtime/process.hpp"
#include "runtime/telemetry.hpp"
#include <atomic>
#include <map>
#include <mutex>

namespace roost {
namespace console {
namespace {

struct entry {
  console::function run;
  console::options about;
};

std::mutex table_mutex;
std::map<std::string, std::shared_ptr<const entry>, std::less<>>& table() {
  static auto& all = *new std::map<std::string, std::shared_ptr<const entry>, std::less<>>;
  return all;
}

std::shared_ptr<const entry> find(std::string_view name) {
  std::lock_guard guard{table_mutex};
  auto found = table().find(name);
  return found != table().end() ? found->second : nullptr;
}

std::invalid_argument wrong(std::string_view expected, std::size_t at, const json& got) {
  auto text = got.is_null() ? std::string("nothing") : got.dump();
  return std::invalid_argument(
      "expected " + std::string(expected) + " as argument " + std::to_string(at + 1) + ", got " +
      text);
}

}  // namespace

void offer(std::string name, function function, options options) {
  auto fresh = std::make_shared<entry>(entry{std::move(function), std::move(options)});
  std::lock_guard guard{table_mutex};
  table()[std::move(name)] = std::move(fresh);
}

std::vector<offered> list() {
  std::lock_guard guard{table_mutex};
  std::vector<offered> all;
  for (auto& [name, one] : table()) all.push_back({name, one->about});
  return all;
}

std::string arguments::text(std::size_t at, std::string_view what) const {
  if (!list_[at].is_string()) throw wrong(what, at, list_[at]);
  return list_[at].as_string();
}

std::int64_t arguments::number(std::size_t at, std::string_view what, std::int64_t fallback) const {
  if (list_[at].is_null()) return fallback;
  if (!list_[at].is_int()) throw wrong(what, at, list_[at]);
  return list_[at].as_int();
}

pid arguments::process(std::size_t at) const {
  auto text = this->text(at, "a pid or a registered name");
  if (text.starts_with('<')) return detail::process_from_text(text);
  auto found = whereis(text);
  if (!found)
    throw std::invalid_argument(
        "expected argument " + std::to_string(at + 1) +
        " to be a pid or a registered name, got \"" + text + '"');
  return found;
}

const json& arguments::option(std::size_t at, std::string_view name) const noexcept {
  return list_[at][name];
}

}  // namespace console

namespace detail {
namespace {

constexpr int most_at_once = 32;
constexpr int most_under_way = 128;
std::atomic<int> running{0};

// Whether the answer goes to another node than this one.
thread_local bool answers_elsewhere = false;

struct place {
  place() noexcept : free(running.fetch_add(1) < most_at_once) {}
  place(const place&) = delete;
  place& operator=(const place&) = delete;
  ~place() { running.fetch_sub(1); }
  bool free;
};

/// As text that JSON takes, whatever an exception says.
console_answer failure(std::string text) { return {false, std::move(text)}; }

void audit(const ask_console& question, const console_answer& answer) {
  static const telemetry::event command{"roost.console.command"};
  telemetry::execute(
      command, {{"system_time", std::chrono::system_clock::now().time_since_epoch()}},
      {{"who", question.who},
       {"function", question.function},
       {"arguments", question.arguments},
       {"ok", answer.ok}});
  std::string via;
  for (auto& one : question.via) via += (via.empty() ? "" : " ") + one;
  logger::notice(
      "audit: console command", {{"who", question.who},
                                 {"via", via},
                                 {"function", question.function},
                                 {"arguments", question.arguments.substr(0, 1'000)},
                                 {"outcome", answer.ok ? "ok" : answer.text}});
}

console_answer run(const console::function& function, const ask_console& question) {
  auto parsed = json::parse(question.arguments);
  if (!parsed || !parsed->is_array()) return failure("expected the arguments to be a list");
  try {
    auto answer = function(console::arguments(std::move(*parsed), question.session));
    return {true, to_text(std::move(answer))};
  } catch (const process_exit& exit) {
    auto& reason = exit.reason();
    bool threw = reason.kind() == exit_reason::code::error;
    return failure(threw ? std::string(reason.what()) : exit.what());
  } catch (const std::exception& error) {
    return failure(error.what());
  }
}

console_answer carry_out(const ask_console& question) {
  auto found = console::find(question.function);
  if (!found) return failure("undefined function " + question.function);
  bool for_admins = found->about.needs == console::role::admin;
  console_answer answer;
  if (for_admins && question.role != console::role::admin) {
    answer = failure(question.function + " needs an admin, and this is a read-only session");
  } else if (place mine; !mine.free) {
    answer = failure("the console is busy: " + std::to_string(most_at_once) + " functions run");
  } else {
    answers_elsewhere = !question.via.empty();
    answer = run(found->run, question);
    answers_elsewhere = false;
  }
  if (for_admins) audit(question, answer);
  return answer;
}

/// The node that the first argument is of, when it is a pid.
std::string node_of_argument(const ask_console& question) {
  if (question.arguments.find("[\"<") != 0) return {};
  auto end = question.arguments.find('>');
  if (end == std::string::npos) return {};
  return node_in_text(std::string_view(question.arguments).substr(2, end - 1));
}

using give_answer = std::function<void(console_answer)>;

void pass_on(ask_console question, const std::string& node, const give_answer& give) {
  if (question.via.size() > 2)
    return give(failure("expected a node that is reached by one more step, got " + node));
  question.node.clear();
  question.via.push_back(node::self());
  roost::call(
      server<console_server>("console", node), std::move(question), std::chrono::seconds(15))
      .then(give, [give, node](const exit_reason& reason) {
        give(failure("expected an answer of " + node + ", got " + reason.to_string()));
      });
}

void carry_out_aside(ask_console question, const give_answer& give) {
  auto found = console::find(question.function);
  auto limit = found ? found->about.timeout : std::chrono::milliseconds(1'000);
  blocking([question = std::move(question)] { return carry_out(question); }, limit)
      .then(give, [give](const exit_reason& reason) {
        give(failure(
            reason == exit_reason::timeout ? "timeout: it is unknown what became of it"
                                           : reason.to_string()));
      });
}

}  // namespace

std::string pid_text(pid process) {
  auto text = to_string(process);
  if (!answers_elsewhere || !process.is_local() || !node::is_alive()) return text;
  return "<" + node::self() + ":" + text.substr(3);  // "<0." is what it began with
}

json pid_json(pid process) { return process ? json(pid_text(process)) : json(); }

json pids_json(const std::vector<pid>& processes) {
  auto list = json::array();
  for (auto one : processes) list.push_back(pid_json(one));
  return list;
}

init_result<console_server> console_server::init() {
  offer_cluster_functions();
  offer_process_functions();
  offer_server_functions();
  offer_supervision_functions();
  offer_channel_functions();
  offer_error_functions();
  offer_system_functions();
  return console_server{};
}

call_result<console_answer> console_server::handle_call(
    ask_console question, from<console_answer> asker) {
  if (under_way_ >= most_under_way)
    return failure(
        "the console is busy: " + std::to_string(most_under_way) + " questions are under way");
  auto caller = asker.caller();
  if (!caller.is_local() && is_guest(node_of(caller))) question.role = console::role::read_only;
  ++under_way_;
  auto give = [this, asker](console_answer answer) {
    --under_way_;
    asker.reply(std::move(answer));
  };
  auto node = question.node.empty() ? node_of_argument(question) : question.node;
  if (!node.empty() && node != node::self())
    pass_on(std::move(question), node, give);
  else
    carry_out_aside(std::move(question), give);
  return noreply();
}

child_spec console_child() { return child<console_server>({.name = console_server::name}); }

console_answer ask_here(ask_console question) {
  return roost::call(
             server<console_server>("console"), std::move(question), std::chrono::seconds(15))
      .get();
}

}  // namespace detail
}  // namespace roost
