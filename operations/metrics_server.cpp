#include "operations/metrics_server.hpp"
#include "channels/meters.hpp"
#include "operations/node_metrics.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/multi_call.hpp"
#include <mutex>

namespace roost {
namespace detail {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::chrono::seconds wanted_for{60};  // after a scrape
constexpr std::size_t longest_text = std::size_t{4} << 20;

/// What a scrape sees. Its own lock, so that it waits for no process.
struct board {
  std::mutex mutex;
  std::vector<std::string> others;  // texts of other nodes, the latest of each
  std::size_t missing = 0;          // nodes that did not answer the last time
  std::uint64_t missed = 0;         // how often that has happened
  clock::time_point scraped{};
  bool gathers = false;
  std::shared_ptr<const user_metrics> user;
};

board& instance() {
  static auto& board = *new struct board;
  return board;
}

}  // namespace

metrics_settings read_metrics_settings(
    const config& section, std::vector<metrics::definition> definitions) {
  metrics_settings settings;
  settings.enabled = section.get<bool>("enabled", settings.enabled);
  settings.all_nodes = section.get<bool>("all_nodes", settings.all_nodes);
  auto time = [&](std::string_view key, std::chrono::milliseconds& value) {
    value = section.get<std::chrono::milliseconds>(key, value);
    if (value.count() < 10 || value > std::chrono::hours(24))
      throw section.error(key, "a time of 10 ms to a day");
  };
  time("interval", settings.interval);
  time("timeout", settings.timeout);
  validate(definitions);
  settings.definitions = std::move(definitions);
  return settings;
}

// --- the server ----------------------------------------------------------------------------------

struct metrics_server::counting {
  explicit counting(const metrics_settings& settings)
      : user(std::make_shared<user_metrics>(settings.definitions)) {
    count_events();
    meters::measure(true);
    auto& board = instance();
    std::lock_guard guard{board.mutex};
    board.user = user;
    board.gathers = settings.all_nodes;
    board.others.clear();
    board.missing = 0;
  }
  counting(const counting&) = delete;
  counting& operator=(const counting&) = delete;
  ~counting() {
    meters::measure(false);
    stop_counting_events();
    auto& board = instance();
    std::lock_guard guard{board.mutex};
    board.user = nullptr;
    board.gathers = false;
    board.others.clear();
    board.missing = 0;
  }
  std::shared_ptr<user_metrics> user;
};

metrics_server::metrics_server(const metrics_settings& settings)
    : settings_(settings), counting_(std::make_unique<counting>(settings)) {}
metrics_server::metrics_server(metrics_server&&) noexcept = default;
metrics_server& metrics_server::operator=(metrics_server&&) noexcept = default;
metrics_server::~metrics_server() = default;

init_result<metrics_server> metrics_server::init(const metrics_settings& settings) {
  return metrics_server(settings);
}

namespace {

std::string own_text(const std::string& node) {
  exposition page;
  show_node(page);
  std::shared_ptr<const user_metrics> user;
  {
    auto& board = instance();
    std::lock_guard guard{board.mutex};
    user = board.user;
    if (board.gathers) {
      page.gauge(
          "roost_metrics_nodes_missing", "Nodes that are left out here: they did not answer.",
          static_cast<double>(board.missing));
      page.counter(
          "roost_metrics_nodes_missed_total", "How often a node did not answer in time.",
          static_cast<double>(board.missed));
    }
  }
  if (user) user->show(page);
  return page.text(node);
}

}  // namespace

std::string metrics_server::handle_call(get_text) const { return own_text(node::self()); }

void metrics_server::handle_cast(gather_now) {
  if (!waits_) gather();
}

void metrics_server::handle_info(gather_due) {
  waits_ = false;
  auto& board = instance();
  {
    std::lock_guard guard{board.mutex};
    if (clock::now() - board.scraped > wanted_for) {
      board.others.clear();
      board.missing = 0;
      return;
    }
  }
  gather();
}

void metrics_server::gather() {
  if (!settings_.all_nodes || std::exchange(asking_, true)) return;
  multi_call<metrics_server>(node::list(), name, get_text{}, settings_.timeout)
      .then([this](multi_replies<std::string> all) {
        asking_ = false;
        auto& board = instance();
        {
          std::lock_guard guard{board.mutex};
          board.others.clear();
          board.missing = all.bad_nodes.size();
          board.missed += all.bad_nodes.size();
          for (auto& [node, text] : all.replies)
            if (text.size() <= longest_text) board.others.push_back(std::move(text));
        }
        waits_ = true;
        send_after(settings_.interval, self(), gather_due{});
      });
}

}  // namespace detail

// --- scraping ------------------------------------------------------------------------------------

std::string metrics_text() {
  auto& board = detail::instance();
  std::vector<std::string> texts;
  bool gathers = false;
  bool first = false;
  {
    std::lock_guard guard{board.mutex};
    auto now = detail::clock::now();
    gathers = board.gathers;
    first = now - board.scraped > detail::wanted_for;
    board.scraped = now;
    if (gathers) texts = board.others;
  }
  if (!gathers) return detail::own_text({});
  if (first)
    abcast({node::self()}, detail::metrics_server::name, detail::metrics_server::gather_now{});
  texts.insert(texts.begin(), detail::own_text(node::self()));
  return detail::merge_texts(texts);
}

http_route metrics_route(std::string path) {
  return get(std::move(path), [](const http_request&) {
    return http_response{.body = metrics_text(), .content_type = detail::exposition_type};
  });
}

}  // namespace roost
