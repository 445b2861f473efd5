#include "channels/tracker_state.hpp"
#include "channels/json_scanner.hpp"
#include <stdexcept>

namespace roost::detail {

namespace {

/// A bijection, so that the references of one replica differ for sure.
std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

std::uint64_t hash_of(const replica_id& id) noexcept {
  return mix(std::hash<std::string>{}(id.node) + mix(id.incarnation));
}

std::string reference_text(std::uint64_t value) {
  static constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  for (int shift = 58; shift >= -2; shift -= 6)
    text += digits[(shift >= 0 ? value >> shift : value << -shift) & 63];
  return text;
}

void move_into(std::vector<tracked_ptr>& out, std::vector<numbered>& from) {
  for (auto& one : from) out.push_back(std::move(one.value));
}

template <class T>
void append_to(std::vector<T>& out, std::vector<T>& from) {
  if (out.empty()) return out.swap(from);
  out.insert(out.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

void check_text(std::string_view what, std::string_view text) {
  if (!is_utf8(text))
    throw std::invalid_argument("expected a presence's " + std::string(what) + " to be UTF-8");
}

}  // namespace

payload with_reference(const payload& meta, std::string_view ref, std::string_view ref_before) {
  if (!meta.is_object())
    throw std::invalid_argument(
        "expected the meta of a presence to be a JSON object, got " +
        (meta.is_binary() ? "binary data" : std::string(meta.text().substr(0, 40))));
  std::string text;
  // Seldom: only a meta that came from a list or a client has one.
  if (meta.text().find("\"phx_ref") != std::string_view::npos) {
    auto without = meta.value();
    without.erase("phx_ref");
    without.erase("phx_ref_prev");
    text = without.dump();
  } else {
    text = meta.text();
  }
  text.erase(text.rfind('}'));
  if (text.find_first_not_of(" \t\r\n", text.find('{') + 1) != std::string::npos) text += ',';
  text += "\"phx_ref\":\"";
  text += ref;
  if (!ref_before.empty()) {
    text += "\",\"phx_ref_prev\":\"";
    text += ref_before;
  }
  text += "\"}";
  return payload::from_text(text);
}

std::string reference_of(const payload& meta) {
  auto& ref = meta["phx_ref"];
  return ref.is_string() ? ref.as_string() : std::string();
}

void presence_changes::append(presence_changes other) {
  append_to(joins, other.joins);
  append_to(leaves, other.leaves);
}

// --- this node's ---------------------------------------------------------------------------------

tracker_state::tracker_state(replica_id self, std::vector<std::size_t> max_delta_sizes)
    : self_(std::move(self)),
      max_delta_sizes_(max_delta_sizes),
      seed_(hash_of(self_)),
      own_(std::move(max_delta_sizes)) {}

tracked_ptr tracker_state::add(
    places& there, std::string topic, std::string key, const payload& meta,
    std::string_view ref_before) {
  auto ref = reference_text(mix(seed_ + own_.last() + 1));
  auto value = std::make_shared<const tracked>(
      tracked{std::move(topic), std::move(key), with_reference(meta, ref, ref_before)});
  numbered one{own_.add(value), value};
  there.emplace(place{value->topic, value->key}, one);
  index_.apply(own_number_, {one}, {});
  own_changes_.joins.push_back(value);
  return value;
}

void tracker_state::remove(const numbered& one) {
  own_.remove(one.number);
  index_.apply(own_number_, {}, {one});
  own_changes_.leaves.push_back(one.value);
}

tracker_state::joined tracker_state::join(
    pid process, std::string topic, std::string key, const payload& meta) {
  check_text("topic", topic);
  check_text("key", key);
  auto [entry, is_first] = by_process_.try_emplace(process);
  if (entry->second.contains(place{topic, key})) return {};
  try {
    return {add(entry->second, std::move(topic), std::move(key), meta, {}), is_first};
  } catch (...) {
    if (is_first) by_process_.erase(process);
    throw;
  }
}

tracked_ptr tracker_state::find(pid process, std::string_view topic, std::string_view key) const {
  auto entry = by_process_.find(process);
  if (entry == by_process_.end()) return nullptr;
  auto found = entry->second.find(place{topic, key});
  return found == entry->second.end() ? nullptr : found->second.value;
}

tracked_ptr tracker_state::update(
    pid process, std::string_view topic, std::string_view key, const payload& meta) {
  auto entry = by_process_.find(process);
  if (entry == by_process_.end()) return nullptr;
  auto found = entry->second.find(place{topic, key});
  if (found == entry->second.end()) return nullptr;
  auto before = found->second;
  entry->second.erase(found);
  try {
    auto value =
        add(entry->second, before.value->topic, before.value->key, meta,
            reference_of(before.value->meta));
    remove(before);
    return value;
  } catch (...) {
    entry->second.emplace(place{before.value->topic, before.value->key}, before);
    throw;
  }
}

bool tracker_state::leave(pid process, std::string_view topic, std::string_view key) {
  auto entry = by_process_.find(process);
  if (entry == by_process_.end()) return false;
  auto found = entry->second.find(place{topic, key});
  if (found == entry->second.end()) return false;
  auto one = found->second;
  entry->second.erase(found);
  if (entry->second.empty()) by_process_.erase(entry);
  remove(one);
  return true;
}

bool tracker_state::leave(pid process) {
  auto entry = by_process_.find(process);
  if (entry == by_process_.end()) return false;
  auto all = std::move(entry->second);
  by_process_.erase(entry);
  for (auto& [place, one] : all) remove(one);
  return true;
}

std::vector<pid> tracker_state::processes() const {
  std::vector<pid> all;
  for (auto& [process, there] : by_process_) all.push_back(process);
  return all;
}

void tracker_state::rename(replica_id self) {
  self_ = std::move(self);
  seed_ = hash_of(self_);
  own_presences fresh(max_delta_sizes_);
  std::vector<numbered> before, after;
  // The values stay the same, references included: nobody here has to be told anything.
  for (auto& [process, there] : by_process_)
    for (auto& [place, one] : there) {
      before.push_back(one);
      one.number = fresh.add(one.value);
      after.push_back(one);
    }
  own_ = std::move(fresh);
  auto former = std::exchange(own_number_, ++last_replica_);
  index_.apply(own_number_, after, {});
  index_.apply(former, {}, before);
}

// --- the others' ---------------------------------------------------------------------------------

tracker_state::replica* tracker_state::find_replica(std::string_view node) {
  auto found = replicas_.find(node);
  return found == replicas_.end() ? nullptr : &found->second;
}

tracker_state::replica& tracker_state::replica_appeared(
    const replica_id& id, presence_changes& changes) {
  remove_replica(id.node, changes);
  auto& fresh = replicas_[id.node];
  fresh.incarnation = id.incarnation;
  fresh.number = ++last_replica_;
  return fresh;
}

void tracker_state::merge(replica& replica, const tracker_delta& delta, presence_changes& changes) {
  auto merged = replica.presences.merge(delta);
  if (replica.is_down) return;
  index_.apply(replica.number, merged.joins, merged.leaves);
  move_into(changes.joins, merged.joins);
  move_into(changes.leaves, merged.leaves);
}

void tracker_state::show(replica& replica, presence_changes& changes) {
  auto all = replica.presences.whole();
  index_.apply(replica.number, all.present, {});
  move_into(changes.joins, all.present);
}

void tracker_state::hide(replica& replica, presence_changes& changes) {
  auto all = replica.presences.whole();
  index_.apply(replica.number, {}, all.present);
  move_into(changes.leaves, all.present);
}

void tracker_state::replica_down(replica& replica, presence_changes& changes) {
  if (std::exchange(replica.is_down, true)) return;
  hide(replica, changes);
}

void tracker_state::replica_up(replica& replica, presence_changes& changes) {
  if (!std::exchange(replica.is_down, false)) return;
  show(replica, changes);
}

void tracker_state::remove_replica(std::string_view node, presence_changes& changes) {
  auto found = replicas_.find(node);
  if (found == replicas_.end()) return;
  if (!found->second.is_down) hide(found->second, changes);
  replicas_.erase(found);
}

std::vector<std::string> tracker_state::remove_down_replicas() {
  std::vector<std::string> gone;
  std::erase_if(replicas_, [&](auto& entry) {
    if (entry.second.is_down) gone.push_back(entry.first);
    return entry.second.is_down;
  });
  return gone;
}

}  // namespace roost::detail
