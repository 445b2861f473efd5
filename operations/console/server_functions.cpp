// sys and GenServer: what any server lets an operator do.
#include "operations/console/answers.hpp"
#include "operations/console/console_server.hpp"
#include "operations/console/dynamic.hpp"
#include "operations/console/events.hpp"
#include "runtime/process_core.hpp"
#include "runtime/sys.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

using console::arguments;
using console::role;

// --- states --------------------------------------------------------------------------------------

/// A field as JSON; as text when it cannot be encoded.
json show_field(const state_field& field, const void* state) {
  if (field.encode == nullptr) return json("(not shown)");
  try {
    wire_buffer bytes;
    wire_writer out{bytes};
    field.encode(state, out);
    wire_reader in{bytes.view()};
    return read_value(in, *field.what);
  } catch (const std::exception&) {
    return json("(not shown)");
  }
}

json show_state(behavior& behavior) {
  auto fields = behavior.state_fields();
  auto* state = behavior.state_address();
  bool named = !fields.empty() && !fields.front().name.empty();
  if (state == nullptr || !named) return json(behavior.state_text());
  auto result = json::object();
  for (auto& field : fields) result.append(std::string(field.name), show_field(field, state));
  return result;
}

void change_state(behavior& behavior, const json& changes) {
  auto fields = behavior.state_fields();
  auto* state = behavior.state_address();
  if (state == nullptr || fields.empty())
    throw std::invalid_argument(
        "expected a server whose state is an aggregate, got " +
        std::string(behavior.initial_call()));
  std::vector<std::pair<const state_field*, wire_buffer>> all;
  // Everything is looked at before anything is changed.
  for (auto& change : changes.members()) {
    auto found = std::find_if(
        fields.begin(), fields.end(), [&](auto& field) { return field.name == change.key; });
    if (found == fields.end())
      throw std::invalid_argument("expected a field of the state, got " + change.key);
    if (found->decode == nullptr)
      throw std::invalid_argument("expected a field whose type can be typed, got " + change.key);
    auto& one = all.emplace_back(&*found, wire_buffer{});
    wire_writer out{one.second};
    try {
      write_value(out, *found->what, change.value);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument("in " + change.key + ": " + error.what());
    }
  }
  for (auto& [field, bytes] : all) {
    wire_reader in{bytes.view()};
    field->decode(state, in);
  }
}

/// Runs in the server, between two messages, in its turn.
template <class F>
json in_server(pid process, const char* what, F function) {
  return pending<json>(request{
                           process, make_sys_request([function](behavior& behavior) -> message_ptr {
                             return make_message<json>(message_kind::reply, function(behavior));
                           }),
                           call_timeout, what})
      .get();
}

json get_state(const arguments& given) {
  return in_server(given.process(0), "sys::get_state", show_state);
}

json replace_state(const arguments& given) {
  if (!given[1].is_object())
    throw std::invalid_argument(
        "expected a table of fields as argument 2, such as {value = 1}, got " + given[1].dump());
  return in_server(given.process(0), "sys::replace_state", [changes = given[1]](behavior& found) {
    change_state(found, changes);
    return show_state(found);
  });
}

json status(const arguments& given) {
  auto report = sys::get_status(given.process(0)).get();
  return {
      {"pid", pid_json(report.process)},
      {"name", report.registered_name},
      {"module", report.module},
      {"suspended", report.suspended},
      {"parent", pid_json(report.parent)},
      {"state", report.state},
      {"dictionary", texts(report.dictionary)},
      {"debug", texts(report.debug)}};
}

json statistics(const arguments& given) {
  auto process = given.process(0);
  if (given[1].is_bool()) {
    sys::statistics(process, given[1].as_bool()).get();
    return json(true);
  }
  auto report = sys::get_statistics(process).get();
  if (!report) return json("no_statistics");
  return {
      {"uptime_ms", report->uptime.count()},
      {"reductions", report->reductions},
      {"messages_in", report->messages_in},
      {"messages_out", report->messages_out}};
}

json log(const arguments& given) {
  auto process = given.process(0);
  if (!given[1].is_null()) {
    sys::log(process, static_cast<std::size_t>(given.number(1, "a number of events", 10))).get();
    return json(true);
  }
  auto list = json::array();
  for (auto& event : sys::get_log(process).get())
    list.push_back(
        {{"event", event.kind == trace_event::received ? "received" : "replied"},
         {"message", event.message},
         {"peer", pid_json(event.peer)}});
  return list;
}

// --- messages ------------------------------------------------------------------------------------

using known = std::vector<understood_message>;

/// What the process takes. Asked at once, whatever waits in its queue.
known messages_of(pid process) {
  return inspect<known>(
             process,
             [](detail::process* found) {
               known all;
               if (found != nullptr && found->does) {
                 auto list = found->does->understands();
                 all.assign(list.begin(), list.end());
               }
               return make_message<known>(message_kind::reply, std::move(all));
             })
      .get();
}

const understood_message& message_named(const known& all, const std::string& name, pid process) {
  const understood_message* found = nullptr;
  for (auto& one : all)
    if (one.type->name == name || unqualified(one.type->name) == name) found = &one;
  if (found != nullptr) return *found;
  std::string names;
  for (auto& one : all)
    names += (names.empty() ? "" : ", ") + std::string(unqualified(one.type->name));
  throw std::invalid_argument(
      "expected a message that " + to_string(process) + " lists (" +
      (names.empty() ? std::string("it lists none") : names) + "), got " + name);
}

json list_messages(const arguments& given) {
  auto list = json::array();
  for (auto& one : messages_of(given.process(0)))
    list.push_back({{"message", signature(*one.type)}, {"kind", one.is_call ? "call" : "cast"}});
  return list;
}

/// The fields as one table, or one after the other.
json fields_in(const arguments& given) {
  if (given.size() == 3 && (given[2].is_object() || given[2].is_array())) return given[2];
  auto list = json::array();
  for (std::size_t at = 2; at < given.size(); ++at) list.push_back(given[at]);
  return list;
}

json do_call(const arguments& given) {
  auto process = given.process(0);
  auto all = messages_of(process);
  auto& what = message_named(all, given.text(1, "the name of a message"), process);
  if (!what.is_call)
    throw std::invalid_argument(
        "expected a call, got the cast " + std::string(unqualified(what.type->name)));
  auto reply = wait_for_answer(
      {process, make_dynamic(*what.type, message_kind::call, fields_in(given)), call_timeout,
       what.type->name});
  return show_message(*reply);
}

json do_cast(const arguments& given) {
  auto process = given.process(0);
  auto all = messages_of(process);
  auto& what = message_named(all, given.text(1, "the name of a message"), process);
  if (what.is_call)
    throw std::invalid_argument(
        "expected a cast, got the call " + std::string(unqualified(what.type->name)));
  enqueue(process, make_dynamic(*what.type, message_kind::cast, fields_in(given)));
  return json(true);
}

}  // namespace

void offer_server_functions() {
  auto admin = [&](std::string usage) {
    return console::options{.needs = role::admin, .usage = std::move(usage)};
  };
  console::offer("sys.get_state", get_state, {.usage = "(pid) the state of a server"});
  console::offer("sys.get_status", status, {.usage = "(pid) everything that is known of a server"});
  console::offer(
      "sys.replace_state", replace_state,
      admin("(pid, {field = value}) changes fields of its state; answers the new one"));
  console::offer(
      "sys.suspend",
      [](const arguments& given) {
        sys::suspend(given.process(0)).get();
        return json(true);
      },
      admin("(pid) the server handles nothing until it is resumed"));
  console::offer(
      "sys.resume",
      [](const arguments& given) {
        sys::resume(given.process(0)).get();
        return json(true);
      },
      admin("(pid) the server goes on"));
  console::offer(
      "sys.trace",
      [](const arguments& given) {
        trace_for(given.session(), given.process(0));
        return json(true);
      },
      admin("(pid) flush() shows what it gets and replies from now on"));
  console::offer(
      "sys.no_trace",
      [](const arguments& given) {
        no_trace_for(given.session(), given.process(0));
        return json(true);
      },
      admin("(pid) ends trace"));
  console::offer(
      "sys.statistics", statistics,
      admin("(pid [, true or false]) switches counting on or off, or answers the counts"));
  console::offer(
      "sys.log", log, admin("(pid [, n]) keeps the last n events, or answers those that are kept"));
  console::offer(
      "Events.take", [](const arguments& given) { return take_events(given.session()); },
      {.usage = "() what flush() prints"});
  console::offer(
      "GenServer.messages", list_messages, {.usage = "(pid) the calls and casts that it takes"});
  console::offer(
      "GenServer.call", do_call,
      admin("(pid, message, {field = value} or fields…) calls a server; answers its reply"));
  console::offer(
      "GenServer.cast", do_cast,
      admin("(pid, message, {field = value} or fields…) casts to a server"));
}

}  // namespace roost::detail
