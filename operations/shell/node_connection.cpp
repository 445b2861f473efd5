#include "operations/shell/node_connection.hpp"
#include "operations/console/console_server.hpp"
#include "runtime/distribution/guests.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/logger.hpp"
#include "runtime/runtime.hpp"
#include <pwd.h>
#include <unistd.h>
#include <future>
#include <mutex>
#include <random>

namespace roost::detail {
namespace {

using namespace std::chrono_literals;
constexpr auto answer_limit = 20s;

/// Keeps what the log says last, instead of writing it to the terminal.
class quiet_log {
 public:
  quiet_log() {
    logger::detach(logger::default_handler);
    handler_ = logger::attach([this](const log_event& event) {
      std::lock_guard guard{mutex_};
      if (auto* reason = event.field("reason"); reason != nullptr)
        if (auto* text = std::get_if<std::string>(reason)) last_ = *text;
    });
  }
  quiet_log(const quiet_log&) = delete;
  quiet_log& operator=(const quiet_log&) = delete;
  ~quiet_log() { logger::detach(handler_); }

  std::string last() {
    logger::flush();
    std::lock_guard guard{mutex_};
    return last_;
  }

 private:
  std::mutex mutex_;
  std::string last_;
  decltype(logger::attach({})) handler_;
};

std::string user_name() {
  auto* entry = ::getpwuid(::geteuid());
  return entry != nullptr ? entry->pw_name : "user " + std::to_string(::geteuid());
}

std::string random_text() {
  std::random_device random;
  char text[17];
  std::snprintf(text, sizeof text, "%08x%08x", random(), random());
  return text;
}

node::options own_options(const command_call& call, console::role role) {
  if (!call.node)
    throw std::runtime_error(
        "expected the node to have a name, got none: only a node with a name can be reached; start "
        "it with --name, and give the same --name here");
  auto options = *call.node;
  auto host = options.name.substr(options.name.find('@'));
  auto number = std::to_string(::getpid());
  if (role == console::role::read_only) {
    if (options.guest_cookie.empty())
      throw std::runtime_error(
          "expected distribution.guest_cookie_file to be set for a read-only session, got nothing");
    options.cookie = options.guest_cookie;
    options.name = std::string(guest_prefix) + number + host;
  } else {
    options.name = "remote-" + number + host;
  }
  options.guest_cookie.clear();
  options.cookie_file.clear();
  options.hidden = true;
  options.listen = false;
  options.connect_all = false;
  options.allowed.clear();
  return options;
}

}  // namespace

struct node_connection::parts {
  quiet_log log;
  roost::runtime runtime{{.schedulers = 1}};
};

node_connection::node_connection(const command_call& call, console::role role)
    : node_(call.node ? call.node->name : ""),
      session_(random_text()),
      who_(user_name()),
      role_(role) {
  auto options = own_options(call, role);
  if (options.cookie.empty() && call.node->tls != node::tls::certificates)
    options.cookie_file = call.node->cookie_file;
  parts_ = std::make_unique<parts>();
  node::start(options);
  if (node::connect(node_).get() != node::connect_result::connected) {
    auto why = parts_->log.last();
    node::stop();
    throw std::runtime_error(
        "expected " + node_ + " to take the connection, got " +
        (why.empty() ? "no connection" : why));
  }
}

node_connection::~node_connection() { node::stop(); }

json node_connection::ask(
    std::string function, json arguments, std::string node, const std::function<bool()>& given_up) {
  auto promise = std::make_shared<std::promise<console_answer>>();
  auto future = promise->get_future();
  ask_console question{
      .function = std::move(function),
      .arguments = arguments.dump(),
      .node = node == node_ ? std::string() : std::move(node),
      .who = who_,
      .role = role_,
      .session = session_};
  spawn([promise, question = std::move(question), to = node_]() mutable {
    call(server<console_server>("console", to), std::move(question), answer_limit)
        .then(
            [promise](console_answer answer) { promise->set_value(std::move(answer)); },
            [promise, to](const exit_reason& reason) {
              auto text = reason == exit_reason::noproc
                              ? to + " has no console: its program was made without operations()"
                              : "expected an answer of " + to + ", got " + reason.to_string();
              promise->set_value({false, std::move(text)});
            });
  });
  while (future.wait_for(10ms) != std::future_status::ready)
    if (given_up && given_up()) throw std::runtime_error("interrupted");
  auto answer = future.get();
  if (!answer.ok) throw std::runtime_error(answer.text);
  auto parsed = json::parse(answer.text);
  if (!parsed) throw std::runtime_error("expected an answer in JSON, got " + answer.text);
  return *parsed;
}

}  // namespace roost::detail
