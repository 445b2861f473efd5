#include "supervision/release/commands.hpp"
#include "supervision/release/control_socket.hpp"
#include "supervision/release/exit_codes.hpp"
#include <charconv>
#include <iostream>
#include <thread>

namespace roost::detail {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds answer_limit{5000};

/// The answer without its `ok`. Throws nobody_there if there is none.
std::string ask(control_client& client, const std::string& request) {
  auto answer = client.ask(request, answer_limit);
  if (!answer) throw nobody_there("expected the node to answer within 5 s, got nothing");
  if (!answer->starts_with("ok"))
    throw std::runtime_error(
        answer->substr(std::min(answer->size(), std::string("error ").size())));
  return answer->size() > 3 ? answer->substr(3) : "";
}

long number_in(const std::string& text) {
  long value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

int ping(const node_files& files) {
  try {
    control_client client(files.control_socket());
    ask(client, "ping");
    std::cout << "pong\n";
    return exit_code::in_order;
  } catch (const nobody_there& error) {
    std::cout << "pang\n";
    std::string_view why = error.what();
    if (!why.ends_with("nobody")) std::cerr << why << "\n";  // this user may not ask, for example
    return exit_code::failed;
  }
}

int print_pid(const node_files& files) {
  control_client client(files.control_socket());
  std::cout << ask(client, "pid") << "\n";
  return exit_code::in_order;
}

/// The node says how long it may take; a little more is for the way.
milliseconds limit_of(const std::string& answer) {
  return milliseconds(number_in(answer)) + answer_limit;
}

int stop(const std::string& program, const node_files& files) {
  control_client client(files.control_socket());
  auto limit = limit_of(ask(client, "stop"));
  auto deadline = clock::now() + limit;
  auto last = client.read_line(limit);
  if (!client.wait_for_end(std::chrono::ceil<milliseconds>(deadline - clock::now())))
    throw std::runtime_error(
        "expected the node to stop in time, got no end; see `" + program + " pid`");
  auto code =
      last && last->starts_with("ended ") ? number_in(last->substr(6)) : exit_code::cut_short;
  if (code != exit_code::in_order)
    std::cerr << program << ": the node ended before everything had stopped in order\n";
  return static_cast<int>(code);
}

/// A node that runs, and has done so for less than the one before.
bool serves_again(const node_files& files) {
  try {
    control_client client(files.control_socket());
    return ask(client, "ready") == "true";
  } catch (const nobody_there&) {
    return false;
  }
}

int restart(const std::string& program, const node_files& files) {
  {
    control_client client(files.control_socket());
    auto limit = limit_of(ask(client, "restart"));
    if (!client.wait_for_end(limit))
      throw std::runtime_error("expected the node to stop in time, got no end");
  }
  auto deadline = clock::now() + std::chrono::minutes(1);
  while (!serves_again(files)) {
    if (clock::now() > deadline)
      throw std::runtime_error(
          "expected the node to serve again within a minute, got no answer; see " + files.log());
    std::this_thread::sleep_for(milliseconds(10));
  }
  std::cout << program << ": restarted\n";
  return exit_code::in_order;
}

/// The node answers how many sockets it still has, and how long it gives them.
int drain(const std::string& program, const node_files& files) {
  for (std::optional<clock::time_point> deadline;;) {
    control_client client(files.control_socket());
    auto answer = ask(client, "drain");
    auto left = number_in(answer);
    if (left == 0) {
      std::cout << program << ": drained\n";
      return exit_code::in_order;
    }
    auto limit = milliseconds(number_in(answer.substr(answer.find(' ') + 1))) + answer_limit;
    if (!deadline) deadline = clock::now() + limit;
    if (clock::now() > *deadline)
      throw std::runtime_error(
          "expected all sockets to be closed in time, got " + std::to_string(left) + " left");
    std::this_thread::sleep_for(milliseconds(100));
  }
}

int run(command what, const std::string& program, const node_files& files) {
  switch (what) {
    case command::ping:
      return ping(files);
    case command::pid:
      return print_pid(files);
    case command::drain:
      return drain(program, files);
    case command::stop:
      return stop(program, files);
    default:
      return restart(program, files);
  }
}

}  // namespace

int run_command(command what, const std::string& program, const node_files& files) {
  try {
    return run(what, program, files);
  } catch (const std::exception& error) {
    std::cerr << program << ": " << error.what() << "\n";
    return exit_code::failed;
  }
}

}  // namespace roost::detail
