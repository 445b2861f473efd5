#include "runtime/distribution/replica_sync.hpp"
#include "runtime/logger.hpp"
#include <boost/unordered/unordered_flat_set.hpp>

namespace roost::detail {

using packet = replica_message;

replica_sync::replica_sync(replica& replica, pid self, world& world, limits limits)
    : replica_(replica), self_(self), world_(world), limits_(limits) {
  // Numbers of an earlier process of this table are not taken for ours.
  last_number_ = replica_.clock().next();
}

// --- who is there --------------------------------------------------------------------------------

replica_sync::peer* replica_sync::find(pid process) {
  auto found = peers_.find(process);
  return found != peers_.end() ? &found->second : nullptr;
}

void replica_sync::node_up(const std::string& node) { world_.send_to_node(node, own_hello(false)); }

replica_packet replica_sync::own_hello(bool is_answer) {
  packet::hello hello;
  hello.rows = replica_.rows().row_name();
  hello.merges = replica_.rows().merges();
  hello.is_answer = is_answer;
  auto now = world_.now();
  for (auto& [node, seen] : seen_) {
    auto last =
        std::any_of(
            peers_.begin(), peers_.end(), [&](auto& one) { return one.second.node == node; })
            ? now
            : seen.last;
    hello.seen.push_back({node, seconds(now - last)});
  }
  return {self_, std::move(hello)};
}

bool replica_sync::send(peer& to, replica_packet::message what) {
  return world_.send(to.process, {self_, std::move(what)});
}

void replica_sync::receive(const std::string& node, replica_packet packet) {
  if (packet.from == self_ || node == world_.this_node()) return;
  auto* from = find(packet.from);
  if (auto* hello = std::get_if<replica_message::hello>(&packet.what))
    return take(from, node, packet.from, *hello);
  // Its hello was lost, or ours: then it does not know what it may send.
  if (from == nullptr) {
    world_.send(packet.from, own_hello(false));
    return;
  }
  std::visit(
      [&](auto& what) {
        if constexpr (!std::same_as<std::remove_cvref_t<decltype(what)>, replica_message::hello>)
          take(*from, what);
      },
      packet.what);
}

void replica_sync::take(peer* from, const std::string& node, pid process, packet::hello& hello) {
  if (hello.rows != replica_.rows().row_name() || hello.merges != replica_.rows().merges()) {
    if (!strangers_.insert(node).second) return;
    logger::error(
        "a table cannot be shared with another node",
        {{"table", replica_.settings().name},
         {"node", node},
         {"trouble", "expected rows of " + std::string(replica_.rows().row_name()) +
                         (replica_.rows().merges() ? ", merged" : ", the last writer wins") +
                         ", got " + hello.rows +
                         (hello.merges ? ", merged" : ", the last writer wins")}});
    return;
  }
  auto now = world_.now();
  for (auto& [name, ago] : hello.seen) {
    if (name == world_.this_node()) continue;
    auto last = now - std::chrono::seconds(std::min<std::uint64_t>(ago, 1'000'000'000));
    if (now - last > replica_.settings().tombstone_ttl) continue;
    auto& seen = seen_[name];
    seen.last = std::max(seen.last, last);
  }
  if (from == nullptr) meet(node, process);
  if (!hello.is_answer) world_.send(process, own_hello(true));
  if (from == nullptr && world_.this_node() < node) begin_round(*find(process));
}

void replica_sync::meet(const std::string& node, pid process) {
  // A node has one copy: the process of an earlier one has ended.
  for (auto& [old, peer] : peers_)
    if (peer.node == node) {
      forget(pid(old));
      break;
    }
  note_changes();
  peer fresh;
  fresh.process = process;
  fresh.node = node;
  fresh.session = ++last_number_;
  fresh.log_position = log_start_ + log_.size();
  peers_.emplace(process, std::move(fresh));
  seen_[node].last = world_.now();
  replica_.track_changes(true);
  world_.watch(process);
  publish();
}

void replica_sync::process_down(pid process) {
  if (find(process) != nullptr) forget(process);
}

void replica_sync::forget(pid process) {
  auto found = peers_.find(process);
  seen_[found->second.node].last = world_.now();
  peers_.erase(found);
  if (peers_.empty()) replica_.track_changes(false);
  trim_log();
  publish();
}

std::vector<replica_peer> replica_sync::peers() const {
  std::vector<replica_peer> all;
  for (auto& [process, peer] : peers_) all.push_back({peer.node, peer.syncs, unsent(peer)});
  return all;
}

/// For those who look from outside.
void replica_sync::publish() {
  published_ = world_.now();
  replica_.set_peers(peers());
}

void replica_sync::publish_now_and_then() {
  if (world_.now() - published_ >= std::chrono::milliseconds(100)) publish();
}

// --- sending -------------------------------------------------------------------------------------

void replica_sync::flush() {
  note_changes();
  for (auto& [process, peer] : peers_) pump(peer);
  trim_log();
  publish_now_and_then();
}

void replica_sync::note_changes() {
  for (auto& change : replica_.collect()) log_.push_back(std::move(change));
  if (peers_.empty()) {
    log_start_ += log_.size();
    log_.clear();
    return;
  }
  while (log_.size() > limits_.log) {
    log_.pop_front();
    ++log_start_;
  }
  for (auto& [process, peer] : peers_) {
    if (peer.log_position >= log_start_) continue;
    peer.log_position = log_start_ + log_.size();
    peer.has_missed = true;
  }
}

void replica_sync::trim_log() {
  auto end = log_start_ + log_.size();
  for (auto& [process, peer] : peers_) end = std::min(end, peer.log_position);
  for (; log_start_ < end; ++log_start_) log_.pop_front();
}

std::size_t replica_sync::unsent(const peer& peer) const {
  return static_cast<std::size_t>(log_start_ + log_.size() - peer.log_position) +
         peer.outbox.size();
}

/// Sends what there is as far as the other takes it; then what has waited for that.
void replica_sync::pump(peer& to) {
  if (to.is_silent) {
    to.log_position = log_start_ + log_.size();
    to.has_missed = true;
    return;
  }
  while (to.sent - to.taken < limits_.window && send_batch(to)) {
  }
  if (has_drained(to)) {
    if (to.theirs) {
      send(to, packet::want{to.theirs->round, to.theirs->part, std::move(to.theirs->hashes)});
      to.theirs.reset();
    }
    if (to.mine && to.mine->was_answered) next_part(to);
  }
  if (to.has_missed && !to.mine) begin_round(to);
}

bool replica_sync::has_drained(const peer& peer) const {
  return peer.outbox.empty() && peer.taken >= peer.outbox_sent;
}

bool replica_sync::send_batch(peer& to) {
  wire_buffer bytes;
  wire_writer out{bytes};
  std::size_t count = 0;
  auto has_room = [&] {
    return count < limits_.batch_entries && bytes.size() < limits_.batch_bytes;
  };
  bool from_outbox = !to.outbox.empty();
  while (has_room() && !to.outbox.empty()) {
    if (replica_.encode(to.outbox.front(), std::nullopt, out)) ++count;
    to.outbox.pop_front();
  }
  while (has_room() && to.log_position < log_start_ + log_.size()) {
    auto& change = log_[static_cast<std::size_t>(to.log_position - log_start_)];
    if (replica_.encode(change.key, change.sequence, out)) ++count;
    ++to.log_position;
  }
  if (count == 0) return false;
  ++to.sent;
  to.entries_sent += count;
  if (from_outbox) to.outbox_sent = to.sent;
  // A row that is too large for any message is left behind: it has been logged.
  if (!send(to, packet::batch{to.session, to.sent, std::string(bytes.view())})) ++to.taken;
  return true;
}

void replica_sync::take(peer& from, packet::batch& batch) {
  wire_reader in{batch.entries, from.process.node};
  try {
    while (!in.empty()) {
      if (replica_.apply(in, from.node) == replica::applied::taken) ++from.entries_taken;
    }
  } catch (const decode_error& error) {
    logger::error(
        "a batch of rows from another node cannot be read to its end",
        {{"table", replica_.settings().name}, {"node", from.node}, {"trouble", error.what()}});
  }
  send(from, packet::taken{batch.session, batch.number});
}

void replica_sync::take(peer& from, const packet::taken& taken) {
  if (taken.session != from.session || taken.number > from.sent) return;
  if (taken.number > from.taken) from.taken = taken.number;
  from.has_moved = true;
  pump(from);
  trim_log();
  publish_now_and_then();
}

/// Nothing is known of what the other has got of what was sent.
void replica_sync::start_over(peer& peer) {
  peer.session = ++last_number_;
  peer.sent = peer.taken = peer.outbox_sent = 0;
  peer.outbox.clear();
  peer.theirs.reset();
  peer.mine.reset();
  peer.log_position = log_start_ + log_.size();
  peer.has_missed = true;
}

// --- comparing -----------------------------------------------------------------------------------

void replica_sync::tick() {
  note_changes();
  for (auto& [process, peer] : peers_) {
    bool is_stuck = !std::exchange(peer.has_moved, false);
    if (is_stuck && peer.sent != peer.taken) {
      start_over(peer);
      peer.is_silent = true;
    }
    if (is_stuck && peer.mine) {
      peer.mine.reset();
      peer.has_missed = true;
    }
    bool begins = world_.this_node() < peer.node || peer.has_missed || peer.is_silent;
    if (begins && !peer.mine) begin_round(peer);
  }
  trim_log();
  publish();
}

void replica_sync::sync_all() {
  for (auto& [process, peer] : peers_)
    if (!peer.mine) begin_round(peer);
}

void replica_sync::begin_round(peer& with) {
  with.has_missed = false;
  round fresh;
  fresh.number = ++last_number_;
  fresh.begun = world_.now();
  fresh.with_erased = with.syncs == 0;
  auto summary = replica_.summary();
  packet::compare compare{fresh.number, summary.digest, {}};
  if (fresh.with_erased) compare.erased_digest = summary.erased_digest;
  with.mine = std::move(fresh);
  send(with, std::move(compare));
}

bool replica_sync::is_present(const peer& peer, std::uint64_t round) const {
  return peer.mine && peer.mine->number == round;
}

void replica_sync::take(peer& from, const packet::compare& compare) {
  from.their_round = compare.round;
  from.their_round_begun = world_.now();
  auto ours = replica_.summary();
  if (compare.digest == ours.digest &&
      compare.erased_digest.value_or(ours.erased_digest) == ours.erased_digest) {
    send(from, packet::equal{compare.round});
    note_synced(from, from.their_round_begun);
    return;
  }
  wire_buffer bytes;
  wire_writer out{bytes};
  for (auto& [digest, erased_digest, entries] : replica_.summaries()) {
    out.fixed64(digest);
    out.fixed64(erased_digest);
    out.fixed32(entries);
  }
  send(from, packet::buckets{compare.round, std::string(bytes.view())});
}

void replica_sync::take(peer& from, const packet::equal& equal) {
  if (!is_present(from, equal.round)) return;
  from.is_silent = false;
  from.has_moved = true;
  note_synced(from, from.mine->begun);
  from.mine.reset();
  pump(from);
}

void replica_sync::take(peer& from, const packet::buckets& buckets) {
  if (!is_present(from, buckets.round) || from.mine->part != 0 || from.mine->was_answered) return;
  std::array<bucket_summary, replica_buckets> theirs;
  wire_reader in{buckets.summaries};
  for (auto& [digest, erased_digest, entries] : theirs) {
    digest = in.fixed64();
    erased_digest = in.fixed64();
    entries = in.fixed32();
  }
  from.is_silent = false;
  from.has_moved = true;
  for (auto& part : parts_of(replica_.summaries(), theirs, from.mine->with_erased))
    from.mine->parts.push_back(part);
  from.mine->was_answered = true;
  pump(from);
}

/// Neighbouring buckets that differ are described together, large ones in pieces.
std::vector<hash_range> replica_sync::parts_of(
    const std::array<bucket_summary, replica_buckets>& ours,
    const std::array<bucket_summary, replica_buckets>& theirs, bool with_erased) const {
  constexpr auto width = std::uint64_t{1} << bucket_shift;
  std::vector<hash_range> parts;
  std::size_t in_last = 0;
  bool extends = false;
  for (std::uint64_t i = 0; i < replica_buckets; ++i) {
    auto size = std::max<std::size_t>(ours[i].entries, theirs[i].entries);
    bool is_equal = ours[i].digest == theirs[i].digest &&
                    (!with_erased || ours[i].erased_digest == theirs[i].erased_digest);
    if (is_equal) {
      extends = false;
      continue;
    }
    auto first = i << bucket_shift;
    if (extends && in_last + size <= limits_.part_entries) {
      parts.back().last = first + (width - 1);
      in_last += size;
      continue;
    }
    auto pieces = std::clamp<std::uint64_t>(
        (size + limits_.part_entries - 1) / limits_.part_entries, 1, 4096);
    for (std::uint64_t piece = 0; piece < pieces; ++piece)
      parts.push_back(
          {first + width / pieces * piece,
           piece + 1 == pieces ? first + (width - 1) : first + width / pieces * (piece + 1) - 1});
    in_last = size;
    extends = pieces == 1;
  }
  return parts;
}

void replica_sync::next_part(peer& with) {
  auto& round = *with.mine;
  if (round.parts.empty()) return finish_round(with);
  round.present = round.parts.front();
  round.parts.pop_front();
  round.was_answered = false;
  ++round.part;
  wire_buffer bytes;
  wire_writer out{bytes};
  for (auto& [hash, version, key] : replica_.describe(round.present)) {
    out.fixed64(hash);
    out.fixed64(version.time);
    out.fixed64(version.node);
    out.varint(version.erased);
  }
  send(
      with, packet::describe{
                round.number, round.part, round.present.first, round.present.last,
                std::string(bytes.view())});
}

void replica_sync::finish_round(peer& with) {
  send(with, packet::compared{with.mine->number});
  note_synced(with, with.mine->begun);
  with.mine.reset();
}

void replica_sync::take(peer& from, const packet::describe& describe) {
  boost::unordered_flat_map<std::uint64_t, replica_version> theirs;
  wire_reader in{describe.versions};
  while (!in.empty()) {
    auto hash = in.fixed64();
    replica_version version;
    version.time = in.fixed64();
    version.node = in.fixed64();
    version.erased = in.varint();
    theirs.emplace(hash, version);
  }
  bool merges = replica_.rows().merges();
  for (auto& [hash, version, key] : replica_.describe({describe.first, describe.last})) {
    auto found = theirs.find(hash);
    if (found == theirs.end()) {
      from.outbox.push_back(std::move(key));
      continue;
    }
    bool is_same = found->second == version;
    // When rows are merged, each side may have something that the other lacks.
    if (!is_same && (merges || version.is_newer_than(found->second)))
      from.outbox.push_back(std::move(key));
    if (is_same || (!merges && version.is_newer_than(found->second))) theirs.erase(found);
  }
  wire_buffer bytes;
  wire_writer out{bytes};
  for (auto& [hash, version] : theirs) out.fixed64(hash);
  from.theirs = answer{describe.round, describe.part, std::string(bytes.view())};
  from.has_moved = true;
  pump(from);
}

void replica_sync::take(peer& from, const packet::want& want) {
  if (!is_present(from, want.round) || from.mine->part != want.part || from.mine->was_answered)
    return;
  boost::unordered_flat_set<std::uint64_t> hashes;
  wire_reader in{want.hashes};
  while (!in.empty()) hashes.insert(in.fixed64());
  if (!hashes.empty())
    for (auto& [hash, version, key] : replica_.describe(from.mine->present))
      if (hashes.contains(hash)) from.outbox.push_back(std::move(key));
  from.mine->was_answered = true;
  from.has_moved = true;
  pump(from);
}

void replica_sync::take(peer& from, const packet::compared& compared) {
  if (compared.round == from.their_round) note_synced(from, from.their_round_begun);
}

/// Everything that either copy had when the comparison began, the other has.
void replica_sync::note_synced(peer& with, milliseconds begun) {
  auto& seen = seen_[with.node];
  seen.synced = std::max(seen.synced, begun);
  ++with.syncs;
  world_.synced(with.node, world_.now() - begun, with.entries_sent, with.entries_taken);
  bool was_apart = with.syncs == 1 && with.entries_taken != 0;
  with.entries_sent = with.entries_taken = 0;
  publish();
  if (!was_apart) return;
  // What a copy has brought may be old news to another: rows that were erased here while it was
  // away are asked about at once, rather than being back for an interval.
  for (auto& [process, peer] : peers_) {
    if (&peer == &with) continue;
    peer.has_missed = true;
    if (!peer.mine) begin_round(peer);
  }
}

// --- tombstones ----------------------------------------------------------------------------------

/// The second before which tombstones have been heard of by all.
std::uint32_t replica_sync::told_before() {
  auto now = world_.now();
  auto told = now;
  for (auto one = seen_.begin(); one != seen_.end();) {
    auto& [node, seen] = *one;
    bool is_here = std::any_of(
        peers_.begin(), peers_.end(), [&](auto& peer) { return peer.second.node == node; });
    if (!is_here && now - seen.last > replica_.settings().tombstone_ttl) {
      one = seen_.erase(one);
      continue;
    }
    told = std::min(told, seen.synced);
    ++one;
  }
  auto second = told.count() < 0 ? 0 : seconds(told);
  return second > limits_.grace ? second - limits_.grace : 0;
}

void replica_sync::purge(std::size_t shard) { replica_.purge(shard, told_before()); }

}  // namespace roost::detail
