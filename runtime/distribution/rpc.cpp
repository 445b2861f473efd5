#include "runtime/distribution/rpc.hpp"
#include "runtime/logger.hpp"
#include "runtime/node_table.hpp"
#include "runtime/process_core.hpp"
#include <map>
#include <mutex>

namespace roost::detail {
namespace {

struct function_table {
  std::mutex mutex;
  struct entry {
    std::shared_ptr<const rpc_function> function;
    const shape* arguments;
  };
  std::map<std::string, entry, std::less<>> functions;
};

function_table& table() {
  static auto& only = *new function_table;  // outlives every thread
  return only;
}

std::shared_ptr<const rpc_function> find_function(std::string_view name) {
  auto& all = table();
  std::lock_guard guard{all.mutex};
  auto found = all.functions.find(name);
  return found != all.functions.end() ? found->second.function : nullptr;
}

/// Runs the function in the process that was started for it.
message_ptr run_function(
    const std::string& name, const std::string& arguments, std::uint32_t sender) {
  auto function = find_function(name);
  if (!function) throw process_exit(exit_reason("undef"), "no function " + name + " is offered");
  wire_reader in{arguments, sender};
  try {
    return (*function)(in);
  } catch (const decode_error& error) {
    throw process_exit(exit_reason("badarg"), error.what());
  }
}

/// The process behind the name `rex` of each node.
struct rex {
  using messages = roost::messages<rpc_request, rpc_cast, rpc_spawn>;

  struct waiting_client {
    pid caller;
    reference ref;
  };
  std::map<reference, waiting_client> clients = {};  // by monitor

  static init_result<rex> init() {
    never_wait_for_links();
    return rex{};
  }

  call_result<unit> handle_call(rpc_request request, from<unit> client) {
    auto [worker, monitor] =
        spawn_monitor([request = std::move(request), caller = client.caller(), ref = client.ref()] {
          auto reply = run_function(request.function, request.arguments, caller.node);
          send_reply(caller, ref, std::move(reply));
        });
    clients.emplace(monitor, waiting_client{client.caller(), client.ref()});
    return noreply();
  }

  void handle_cast(rpc_cast request) {
    start(std::move(request.function), std::move(request.arguments), {});
  }

  call_result<pid> handle_call(rpc_spawn request, from<pid> client) {
    return start(std::move(request.function), std::move(request.arguments), client.caller());
  }

  /// The end of a process that ran a function: its caller hears of a crash; an answer it has
  /// already.
  void handle_info(const down& end) {
    auto client = clients.find(end.ref);
    if (client == clients.end()) return;
    auto [caller, ref] = client->second;
    clients.erase(client);
    if (end.reason == exit_reason::normal) return;
    send_reply(caller, ref, make_message<death_notice>(message_kind::no_reply, end.reason));
  }

 private:
  pid start(std::string function, std::string arguments, pid caller) {
    return spawn([function = std::move(function), arguments = std::move(arguments), caller] {
      run_function(function, arguments, caller.node);
    });
  }
};

}  // namespace

void offer_function(std::string name, rpc_function function, const shape* arguments) {
  auto& all = table();
  std::lock_guard guard{all.mutex};
  all.functions.insert_or_assign(
      std::move(name),
      function_table::entry{std::make_shared<const rpc_function>(std::move(function)), arguments});
}

std::vector<offered_function> offered_functions() {
  auto& all = table();
  std::lock_guard guard{all.mutex};
  std::vector<offered_function> result;
  for (auto& [name, entry] : all.functions) result.push_back({name, entry.arguments});
  return result;
}

pid start_rex() {
  start_request request;
  request.name = process_name("rex");
  request.owned = true;
  auto outcome = start_process(make_server<rex>(), std::move(request));
  if (outcome.status != start_status::ready)
    throw std::runtime_error("expected the name rex to be free, got another process");
  return outcome.process;
}

pid rex_on(const std::string& node) { return whereis_on(node, "rex"); }

}  // namespace roost::detail

namespace roost::rpc {

void withdraw(std::string_view name) {
  auto& all = detail::table();
  std::lock_guard guard{all.mutex};
  auto found = all.functions.find(name);
  if (found != all.functions.end()) all.functions.erase(found);
}

}  // namespace roost::rpc
