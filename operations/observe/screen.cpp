#include "operations/observe/screen.hpp"
#include "operations/observe/text.hpp"
#include <algorithm>
#include <cmath>

namespace roost::detail {
namespace {

constexpr const char* page_names[] = {"System", "Processes", "Supervisors", "Sockets", "Nodes"};

ink ink_of(double share) {
  return share >= 0.9 ? ink::bad : share >= 0.7 ? ink::warning : ink::good;
}

std::string percent(double share) { return std::to_string(std::lround(share * 100)) + " %"; }

/// "<chat@10.0.0.7:42.3>" as the node itself writes it: its name stands above.
std::string pid_in(const json& from, const std::string& node) {
  auto text = text_in(from, "pid");
  auto before = "<" + clean(node) + ":";
  return text.starts_with(before) ? "<0." + text.substr(before.size()) : text;
}

// --- tables --------------------------------------------------------------------------------------

struct column {
  std::string title;
  std::size_t width;
  side where = side::left;
};

/// The last column gets what is left, but for those at the right which keep their width.
class table {
 public:
  table(std::vector<column> columns, std::size_t grows, std::size_t width)
      : columns_(std::move(columns)) {
    std::size_t used = columns_.size() - 1;
    for (auto& one : columns_) used += one.width;
    if (used < width) columns_[grows].width += width - used;
  }

  screen_line head() const {
    std::vector<std::string> titles;
    for (auto& one : columns_) titles.push_back(one.title);
    return {{line(titles), ink::dim}};
  }
  std::string line(const std::vector<std::string>& cells) const {
    std::string text;
    for (std::size_t at = 0; at < columns_.size(); ++at)
      text += (at == 0 ? "" : " ") + fitted(cells[at], columns_[at].width, columns_[at].where);
    return text;
  }

 private:
  std::vector<column> columns_;
};

void title(std::vector<screen_line>& lines, std::string text) {
  if (!lines.empty()) lines.push_back({});
  lines.push_back({{std::move(text), ink::strong}});
}

// --- pages ---------------------------------------------------------------------------------------

void show_bar(
    std::vector<screen_line>& lines, const std::string& name, double share, std::string text,
    std::size_t width) {
  std::size_t name_width = 14;
  std::size_t text_width = std::max<std::size_t>(22, columns(text));
  auto room = width > name_width + text_width + 4 ? width - name_width - text_width - 4 : 4;
  lines.push_back(
      {{fitted(name, name_width) + " "},
       {bar(share, std::min<std::size_t>(room, 60)), ink_of(share)},
       {"  " + std::move(text)}});
}

void show_system(std::vector<screen_line>& lines, const look& seen, std::size_t width) {
  auto& info = seen.info;
  title(lines, "Schedulers");
  for (auto& one : info["schedulers"].items()) {
    auto busy = number_in(one, "utilization");
    show_bar(
        lines, "scheduler " + human_count(number_in(one, "scheduler")), busy,
        percent(busy) + ", queue " + human_count(number_in(one, "run_queue")), width);
  }
  auto& memory = info["memory"];
  auto total = number_in(memory, "total");
  auto limit = number_in(memory, "limit");
  auto share = [](double part, double whole) { return whole > 0 ? part / whole : 0; };
  title(lines, "Memory");
  show_bar(lines, "this program", share(total, limit), human_bytes(total), width);
  show_bar(
      lines, "its processes", share(number_in(memory, "processes"), limit),
      human_bytes(number_in(memory, "processes")), width);
  bool cgroup = memory["of_a_cgroup"] == json(true);
  show_bar(
      lines, cgroup ? "cgroup" : "host", share(number_in(memory, "used"), limit),
      human_bytes(number_in(memory, "used")) + " of " + human_bytes(limit), width);
  title(lines, "Limits");
  auto counted = [&](const char* name, const char* key, const char* most) {
    auto now = number_in(info, key), all = number_in(info, most);
    show_bar(
        lines, name, share(now, all),
        human_count(now) + " of " + (all > 0 ? human_count(all) : "any"), width);
  };
  counted("processes", "processes", "process_limit");
  counted("open files", "open_files", "file_limit");
  title(lines, "Traffic");
  double sockets = 0, connections = 0;
  for (auto& one : seen.endpoints.items()) {
    sockets += number_in(one, "sockets");
    connections += number_in(one, "connections");
  }
  auto say = [&](const char* name, std::string text) {
    lines.push_back({{fitted(name, 15)}, {std::move(text), ink::plain}});
  };
  say("messages", human_rate(seen.rate("messages")));
  say("broadcasts", human_rate(seen.rate("broadcasts")));
  say("sockets", human_count(sockets) + ", " + human_count(connections) + " connections");
  say("blocking jobs", human_count(number_in(info, "blocking_jobs")));
  title(lines, "Alarms");
  if (seen.alarms.empty()) lines.push_back({{"none is set", ink::dim}});
  for (auto& one : seen.alarms.items())
    lines.push_back(
        {{text_in(one, "id"), ink::warning}, {"  " + text_in(one, "description"), ink::plain}});
}

std::string process_name(const json& one) {
  for (auto* key : {"name", "label", "initial_call"})
    if (auto text = text_in(one, key); !text.empty()) return text;
  return "?";
}

void show_processes(
    std::vector<screen_line>& lines, const look& seen, const choice& chosen, std::size_t width) {
  auto mark = [&](order by, const char* name) {
    return std::string(name) + (chosen.by == by ? "*" : "");
  };
  table all(
      {{"pid", 14},
       {"name or type", 16},
       {"handler", width >= 110 ? std::size_t(22) : 0},
       {mark(order::mailbox, "queue"), 8, side::right},
       {mark(order::memory, "memory"), 10, side::right},
       {mark(order::reductions, "messages"), 13, side::right},
       {mark(order::rate, "rate"), 10, side::right},
       {mark(order::uptime, "up"), 8, side::right}},
      1, width);
  std::vector<const json*> sorted;
  for (auto& one : seen.processes.items()) sorted.push_back(&one);
  auto rate = [&](const json& one) {
    auto found = seen.rate("process " + text_in(one, "pid"));
    return std::isfinite(found) ? found : 0;
  };
  if (chosen.by == order::rate)
    std::stable_sort(sorted.begin(), sorted.end(), [&](auto* left, auto* right) {
      return rate(*left) > rate(*right);
    });
  lines.push_back(all.head());
  for (auto* one : sorted) {
    auto queue = number_in(*one, "message_queue_len");
    lines.push_back(
        {{all.line(
              {pid_in(*one, seen.node), process_name(*one), text_in(*one, "current_handler"),
               human_count(queue), human_bytes(number_in(*one, "memory")),
               human_count(number_in(*one, "reductions")),
               human_rate(seen.rate("process " + text_in(*one, "pid"))),
               human_duration(static_cast<std::int64_t>(number_in(*one, "uptime_ms")))}),
          queue >= 1'000 ? ink::bad
          : queue >= 100 ? ink::warning
                         : ink::plain}});
  }
}

void show_branch(
    std::vector<screen_line>& lines, const json& one, const std::string& node,
    const std::string& before, bool last, bool root) {
  auto name = text_in(one, "id");
  auto type = text_in(one, "strategy");
  if (type.empty()) type = text_in(one, "type");
  bool restarting = one["restarting"] == json(true);
  auto pid = restarting ? std::string("restarting") : pid_in(one, node);
  bool gone = restarting || pid.empty();
  bool supervisor = text_in(one, "type") == "supervisor";
  lines.push_back(
      {{before + (root   ? ""
                  : last ? "└─ "
                         : "├─ "),
        ink::dim},
       {name, gone         ? ink::bad
              : supervisor ? ink::strong
                           : ink::plain},
       {"  " + (pid.empty() ? "no process" : pid) + "  " + type, gone ? ink::bad : ink::dim}});
  auto& children = one["children"];
  auto omitted = number_in(one, "omitted");
  auto deeper = before + (root ? "" : last ? "   " : "│  ");
  for (std::size_t at = 0; at < children.size(); ++at)
    show_branch(
        lines, children[at], node, deeper, at + 1 == children.size() && omitted == 0, false);
  if (omitted > 0)
    lines.push_back({{deeper + "└─ and " + human_count(omitted) + " more", ink::dim}});
}

void show_tree(std::vector<screen_line>& lines, const look& seen) {
  for (auto& one : seen.tree.items()) {
    if (!lines.empty()) lines.push_back({});
    show_branch(lines, one, seen.node, "", true, true);
  }
}

void show_sockets(std::vector<screen_line>& lines, const look& seen, std::size_t width) {
  title(lines, "Endpoints");
  table endpoints(
      {{"endpoint", 12},
       {"state", 8},
       {"port", 6, side::right},
       {"connections", 12, side::right},
       {"sockets", 10, side::right},
       {"refused", 10, side::right},
       {"slow", 8, side::right}},
      0, width);
  lines.push_back(endpoints.head());
  for (auto& one : seen.endpoints.items()) {
    bool ready = one["ready"] == json(true);
    auto port = number_in(one, "port");
    lines.push_back(
        {{endpoints.line(
              {text_in(one, "name"), ready ? "ready" : "draining",
               std::to_string(std::lround(port != 0 ? port : number_in(one, "https_port"))),
               human_count(number_in(one, "connections")), human_count(number_in(one, "sockets")),
               human_count(
                   number_in(one, "refused_sockets") + number_in(one, "refused_connections")),
               human_count(number_in(one, "slow_consumers"))}),
          ready ? ink::plain : ink::warning}});
  }
  table topics(
      {{"topic", 20}, {"channels", 10, side::right}, {"processes", 10, side::right}}, 0, width);
  for (auto& [name, listed] : seen.topics.members()) {
    if (listed.empty()) continue;
    title(lines, "Topics of " + clean(name));
    lines.push_back(topics.head());
    for (auto& one : listed.items())
      lines.push_back({{topics.line(
          {text_in(one, "topic"), human_count(number_in(one, "channels")),
           human_count(number_in(one, "processes"))})}});
  }
  auto& listed = seen.sockets["sockets"];
  title(lines, "Sockets, " + human_count(number_in(seen.sockets, "total")));
  table sockets({{"pid", 14}, {"socket", 20}, {"id", 20}}, 1, width);
  lines.push_back(sockets.head());
  for (auto& one : listed.items())
    lines.push_back(
        {{sockets.line({pid_in(one, seen.node), text_in(one, "socket"), text_in(one, "id")})}});
}

double busy_of(const json& info) {
  double sum = 0;
  auto all = info["schedulers"].items();
  for (auto& one : all) sum += number_in(one, "utilization");
  return all.empty() ? 0 : sum / static_cast<double>(all.size());
}

void show_nodes(std::vector<screen_line>& lines, const look& seen, std::size_t width) {
  title(lines, "Nodes");
  table nodes(
      {{"node", 16},
       {"state", 9},
       {"busy", 6, side::right},
       {"memory", 10, side::right},
       {"processes", 10, side::right},
       {"queue", 6, side::right},
       {"messages", 11, side::right},
       {"up", 8, side::right}},
      0, width);
  lines.push_back(nodes.head());
  for (auto& [name, info] : seen.others) {
    if (auto trouble = text_in(info, "trouble"); !trouble.empty()) {
      lines.push_back({{clean(name) + ": " + trouble, ink::bad}});
      continue;
    }
    bool ready = info["ready"] == json(true);
    lines.push_back(
        {{nodes.line(
              {clean(name), ready ? "ready" : "not ready", percent(busy_of(info)),
               human_bytes(number_in(info["memory"], "total")),
               human_count(number_in(info, "processes")), human_count(number_in(info, "run_queue")),
               human_rate(seen.rate("of " + name)),
               human_duration(static_cast<std::int64_t>(number_in(info, "uptime_ms")))}),
          ready ? ink::plain : ink::warning}});
  }
  title(lines, "Links of " + clean(seen.node));
  table links(
      {{"node", 16},
       {"kind", 8},
       {"queued", 10, side::right},
       {"in", 12, side::right},
       {"out", 12, side::right}},
      0, width);
  lines.push_back(links.head());
  auto speed = [&](const std::string& key) {
    auto rate = seen.rate(key);
    return std::isfinite(rate) ? human_bytes(rate) + "/s" : std::string("-");
  };
  for (auto& one : seen.links.items()) {
    auto node = text_in(one, "node");
    lines.push_back({{links.line(
        {node, one["hidden"] == json(true) ? "hidden" : "visible",
         human_bytes(number_in(one, "queued")), speed("in " + node), speed("out " + node)})}});
  }
}

void show_help(std::vector<screen_line>& lines) {
  title(lines, "Keys");
  static constexpr const char* all[][2] = {
      {"1 … 5, Tab", "another page"},
      {"n, N", "the next node, the one before"},
      {"arrows, Page Up, Page Down, Home, End", "scroll"},
      {"m", "processes by memory"},
      {"b", "… by their message queue (mailbox)"},
      {"r", "… by messages handled (reductions)"},
      {"d", "… by messages handled since the last look"},
      {"u", "… by uptime"},
      {"space", "look no more, or again"},
      {"q, Ctrl-C", "leave"}};
  for (auto& [keys, what] : all) lines.push_back({{fitted(keys, 40), ink::strong}, {what}});
}

// --- around a page -------------------------------------------------------------------------------

screen_line head_of(const look& seen, const choice& chosen) {
  auto& info = seen.info;
  auto text = " " + clean(seen.node) + "   " + text_in(info, "application") + " " +
              text_in(info, "version") + "   up " +
              human_duration(static_cast<std::int64_t>(number_in(info, "uptime_ms"))) + "   " +
              human_count(number_in(info, "processes")) + " processes   " +
              human_bytes(number_in(info["memory"], "total"));
  if (chosen.paused) text += "   paused";
  return {{std::move(text), ink::title}};
}

screen_line tabs_of(const choice& chosen) {
  screen_line line;
  for (std::size_t at = 0; at < page_count; ++at) {
    bool here = at == static_cast<std::size_t>(chosen.shown) && !chosen.help;
    line.push_back(
        {" " + std::to_string(at + 1) + " " + page_names[at] + " ", here ? ink::strong : ink::dim});
  }
  return line;
}

screen_line foot_of(const look& seen, std::size_t above, std::size_t below) {
  screen_line line;
  if (!seen.trouble.empty()) {
    line.push_back({" " + seen.trouble, ink::bad});
    return line;
  }
  if (!seen.alarms.empty())
    line.push_back({" " + std::to_string(seen.alarms.size()) + " alarm(s) set ", ink::warning});
  if (above + below > 0)
    line.push_back(
        {" " + std::to_string(above) + " above, " + std::to_string(below) + " below ", ink::plain});
  line.push_back({" Tab page  n node  m b r d u order  space pause  ? help  q leave", ink::dim});
  return line;
}

const char* code_of(ink with) {
  switch (with) {
    case ink::plain:
      return "";
    case ink::dim:
      return "\x1b[2m";
    case ink::strong:
      return "\x1b[1m";
    case ink::title:
      return "\x1b[7m";
    case ink::good:
      return "\x1b[32m";
    case ink::warning:
      return "\x1b[33m";
    case ink::bad:
      return "\x1b[31m";
  }
  return "";
}

/// The stretches of a line, cut where the line ends.
template <class F>
void each_within(const screen_line& line, std::size_t width, F use) {
  for (auto& one : line) {
    auto taken = columns(one.text);
    if (taken > width) {
      use(fitted(one.text, width), one.with);
      return;
    }
    use(one.text, one.with);
    width -= taken;
  }
}

}  // namespace

std::size_t room_in(screen_size size) { return size.height > 5 ? size.height - 5 : 1; }

std::vector<screen_line> body_of(const look& seen, const choice& chosen, std::size_t width) {
  std::vector<screen_line> lines;
  if (chosen.help) {
    show_help(lines);
    return lines;
  }
  switch (chosen.shown) {
    case page::system:
      show_system(lines, seen, width);
      break;
    case page::processes:
      show_processes(lines, seen, chosen, width);
      break;
    case page::tree:
      show_tree(lines, seen);
      break;
    case page::sockets:
      show_sockets(lines, seen, width);
      break;
    case page::nodes:
      show_nodes(lines, seen, width);
      break;
  }
  return lines;
}

std::vector<screen_line> screen_of(const look& seen, choice& chosen, screen_size size) {
  auto body = body_of(seen, chosen, size.width);
  auto room = room_in(size);
  chosen.scrolled = std::min(chosen.scrolled, body.size() > room ? body.size() - room : 0);
  auto below = body.size() - std::min(body.size(), chosen.scrolled + room);
  std::vector<screen_line> lines{head_of(seen, chosen), tabs_of(chosen), {}};
  for (std::size_t at = 0; at < room; ++at) {
    auto from = chosen.scrolled + at;
    lines.push_back(from < body.size() ? std::move(body[from]) : screen_line{});
  }
  lines.push_back({});
  lines.push_back(foot_of(seen, chosen.scrolled, below));
  lines.resize(size.height);
  return lines;
}

std::string picture_of(const std::vector<std::pair<page, look>>& all, std::size_t width) {
  std::string text;
  auto add = [&](const screen_line& line) {
    auto plain = as_plain(line, width);
    plain.erase(plain.find_last_not_of(' ') + 1);
    text += plain + "\n";
  };
  for (auto& [shown, seen] : all) {
    choice chosen{.shown = shown};
    if (text.empty()) add(head_of(seen, chosen));
    text += std::string("\n=== ") + page_names[static_cast<std::size_t>(shown)] + " ===\n";
    for (auto& line : body_of(seen, chosen, width)) add(line);
    if (!seen.trouble.empty()) add({{seen.trouble}});
  }
  return text;
}

std::string as_plain(const screen_line& line, std::size_t width) {
  std::string text;
  each_within(line, width, [&](const std::string& part, ink) { text += part; });
  return text;
}

std::string as_ansi(const screen_line& line, std::size_t width) {
  std::string text;
  bool whole = !line.empty() && line.front().with == ink::title;
  each_within(line, width, [&](const std::string& part, ink with) {
    auto* code = code_of(with);
    if (*code == '\0')
      text += part;
    else
      text.append(code).append(whole ? fitted(part, width) : part).append("\x1b[0m");
  });
  return text;
}

}  // namespace roost::detail
