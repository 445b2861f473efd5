#include "channels/presence.hpp"
#include "channels/json_scanner.hpp"
#include "channels/pub_sub.hpp"
#include "channels/tracker_shard.hpp"
#include "runtime/blocking.hpp"
#include "supervision/supervisor.hpp"
#include <algorithm>
#include <deque>

namespace roost {
namespace {

// --- what clients get ----------------------------------------------------------------------------

std::vector<presence_metas> by_key(std::vector<presence_entry> entries) {
  std::stable_sort(entries.begin(), entries.end(), [](auto& a, auto& b) { return a.key < b.key; });
  std::vector<presence_metas> all;
  for (auto& entry : entries) {
    if (all.empty() || all.back().key != entry.key) all.push_back({std::move(entry.key), {}});
    all.back().metas.push_back(std::move(entry.meta));
  }
  return all;
}

/// Metas stay the text that they are.
void append(std::string& out, const presence_metas& entry) {
  out += "{\"metas\":[";
  for (auto& meta : entry.metas) {
    if (out.back() != '[') out += ',';
    out += meta.text();
  }
  out += ']';
  for (auto& [key, value] : entry.more.members()) {
    if (key == "metas") continue;
    out += ',';
    append_quoted(out, key);
    out += ':';
    value.append_to(out);
  }
  out += '}';
}

void append(std::string& out, const std::vector<presence_metas>& entries) {
  out += '{';
  for (auto& entry : entries) {
    if (out.back() != '{') out += ',';
    append_quoted(out, entry.key);
    out += ':';
    append(out, entry);
  }
  out += '}';
}

payload diff_payload(const metas_diff& diff) {
  std::string text = "{\"joins\":";
  append(text, diff.joins);
  text += ",\"leaves\":";
  append(text, diff.leaves);
  text += '}';
  return payload::from_text(text);
}

// --- the process that tells of diffs -------------------------------------------------------------

using diffs = std::vector<metas_diff>;

class presence_process {
 public:
  struct changed { std::vector<topic_diff> topics; };
  using messages = roost::messages<changed>;

  static init_result<presence_process> init(presence::options options) {
    if (options.init) options.init();
    return presence_process(std::move(options));
  }

  void handle_cast(changed message) {
    diffs all;
    for (auto& topic : message.topics)
      all.push_back(
          {std::move(topic.topic), by_key(std::move(topic.joins)),
           by_key(std::move(topic.leaves))});
    if (!options_.fetch) return tell(all);
    waiting_.push_back(std::move(all));
    if (!is_fetching_) fetch_next();
  }

  std::string format_status() const {
    return options_.name + ", " + std::to_string(waiting_.size()) + " diffs wait";
  }

 private:
  explicit presence_process(presence::options options) : options_(std::move(options)) {}

  void fetch_next();
  void tell(const diffs& all) const;

  presence::options options_;
  std::deque<diffs> waiting_;
  bool is_fetching_ = false;
};

/// Answers the diff with what fetch adds, or as it was if that throws.
metas_diff fetched(const presence::fetch_function& fetch, metas_diff diff) {
  auto more = diff;
  try {
    if (!more.joins.empty()) fetch(more.topic, more.joins);
    if (!more.leaves.empty()) fetch(more.topic, more.leaves);
    return more;
  } catch (const std::exception& error) {
    logger::error("fetch of a presence failed", {{"topic", diff.topic}, {"error", error.what()}});
    return diff;
  }
}

void presence_process::fetch_next() {
  is_fetching_ = true;
  blocking([fetch = options_.fetch, all = std::move(waiting_.front())]() mutable {
    for (auto& diff : all) diff = fetched(fetch, std::move(diff));
    return std::move(all);
  }).then([this](const diffs& all) {
    is_fetching_ = false;
    tell(all);
    if (!waiting_.empty()) fetch_next();
  });
  waiting_.pop_front();
}

void presence_process::tell(const diffs& all) const {
  for (auto& diff : all) {
    local_broadcast(options_.pub_sub, diff.topic, "presence_diff", diff_payload(diff));
    if (options_.handle_metas) options_.handle_metas(diff);
  }
}

}  // namespace

// --- starting ------------------------------------------------------------------------------------

child_spec presence::child_spec(options options) {
  if (options.pub_sub.empty())
    throw std::invalid_argument("expected presence's .pub_sub to be set, got an empty one");
  auto tell = [name = options.name](const std::vector<topic_diff>& topics) {
    cast(server<presence_process>(process_name(name)), presence_process::changed{topics});
  };
  std::shared_ptr<const fetch_function> fetch;
  if (options.fetch) fetch = std::make_shared<const fetch_function>(options.fetch);
  auto tracker = detail::tracker_spec(
      {.name = options.name,
       .pub_sub = options.pub_sub,
       .handle_diff = tell,
       .gossip = options.gossip},
      fetch);
  tracker.id = "tracker";
  auto name = options.name;
  auto spec = child<supervisor>(
      {.strategy = one_for_one,
       .children = {child<presence_process>({.name = name}, std::move(options)), tracker}});
  spec.id = name;
  return spec;
}

presence::presence(std::string_view name)
    : tracker_(name),
      fetch_(std::static_pointer_cast<const fetch_function>(
          detail::tracker_shards::find(name)->companion())) {}

// --- in a channel --------------------------------------------------------------------------------

track_result presence::track(
    const socket& socket, std::string_view key, const payload& meta) const {
  return track(self(), socket.topic(), key, meta);
}

track_result presence::update(
    const socket& socket, std::string_view key, const payload& meta) const {
  return update(self(), socket.topic(), key, meta);
}

bool presence::untrack(const socket& socket, std::string_view key) const {
  return untrack(self(), socket.topic(), key);
}

// --- anywhere ------------------------------------------------------------------------------------

track_result presence::track(
    pid process, std::string_view topic, std::string_view key, const payload& meta) const {
  return tracker_.track(process, topic, key, meta);
}

track_result presence::update(
    pid process, std::string_view topic, std::string_view key, const payload& meta) const {
  return tracker_.update(process, topic, key, meta);
}

bool presence::untrack(pid process, std::string_view topic, std::string_view key) const {
  return tracker_.untrack(process, topic, key);
}

payload presence::list(std::string_view topic) const {
  auto entries = by_key(tracker_.list(topic));
  if (fetch_ && !entries.empty()) (*fetch_)(topic, entries);
  std::string text;
  append(text, entries);
  return payload::from_text(text);
}

payload presence::get_by_key(std::string_view topic, std::string_view key) const {
  std::vector<presence_metas> entries{{std::string(key), tracker_.get_by_key(topic, key)}};
  if (entries[0].metas.empty()) return {};
  if (fetch_) (*fetch_)(topic, entries);
  if (entries.empty()) return {};
  std::string text;
  append(text, entries[0]);
  return payload::from_text(text);
}

}  // namespace roost
