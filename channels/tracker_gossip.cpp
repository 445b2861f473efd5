#include "channels/tracker_gossip.hpp"

namespace roost::detail {

namespace {

constexpr int beats_after_a_change = 2;

}  // namespace

// --- hearing -------------------------------------------------------------------------------------

bool tracker_gossip::is_believed(const replica_id& from, time now) const {
  // Also what comes back from this node's own broadcasts.
  if (from.node == state_.self().node) return false;
  if (auto ended = ended_.find(from.node);
      ended != ended_.end() && from.incarnation <= ended->second.incarnation)
    return false;
  // What a lost node had sent before may still be on its way through other processes here.
  if (auto lost = lost_.find(from.node);
      lost != lost_.end() && now - lost->second < settings_.broadcast_period)
    return false;
  auto found = state_.replicas().find(from.node);
  if (found == state_.replicas().end() || found->second.incarnation <= from.incarnation)
    return true;
  // An earlier one is a late message, unless the later has gone: then the node's clock ran back.
  return found->second.is_down;
}

tracker_gossip::replica& tracker_gossip::welcome(const replica_id& from, time now, output& out) {
  auto* known = state_.find_replica(from.node);
  if (known == nullptr || known->incarnation != from.incarnation) {
    known = &state_.replica_appeared(from, out.changes);
    peers_[from.node] = {.heard_at = now};
    say(out, from.node, tracker_beat{told(), {}});
    out.events.emplace_back(from.node, "replica up");
  } else if (known->is_down) {
    out.events.emplace_back(from.node, "replica up");
  }
  peers_[from.node].heard_at = now;
  state_.replica_up(*known, out.changes);
  return *known;
}

void tracker_gossip::receive(const tracker_message& message, time now, output& out) {
  auto& from = message.from;
  if (!is_believed(from, now)) return;
  if (std::holds_alternative<tracker_goodbye>(message.content)) {
    state_.remove_replica(from.node, out.changes);
    peers_.erase(from.node);
    ended_[from.node] = {from.incarnation, now};
    out.events.emplace_back(from.node, "replica ended");
    return;
  }
  auto& replica = welcome(from, now, out);
  if (auto* beat = std::get_if<tracker_beat>(&message.content))
    take(from.node, replica, *beat, now, out);
  else if (auto* page = std::get_if<presence_page>(&message.content))
    take(from.node, replica, *page, now, out);
  else if (auto* request = std::get_if<tracker_request>(&message.content))
    answer(from.node, *request, out);
}

void tracker_gossip::take(
    const std::string& node, replica& replica, const tracker_beat& beat, time now, output& out) {
  state_.merge(replica, beat.delta, out.changes);
  auto& peer = peers_[node];
  peer.last = std::max(peer.last, beat.last);
  look_for_gaps(node, replica, now, out);
}

void tracker_gossip::take(
    const std::string& node, replica& replica, const presence_page& page, time now, output& out) {
  auto& peer = peers_[node];
  // Only in order: see presence_page.
  if (!peer.asked || page.after != peer.asked->after || page.last < page.after) return;
  if (peer.asked->until != 0 && page.until != peer.asked->until) return;
  state_.merge(replica, page.delta, out.changes);
  peer.last = std::max(peer.last, page.until);
  if (page.last < page.until && page.last > page.after)
    return ask(node, peer, replica, {page.last, page.until, now}, out);
  peer.asked.reset();
  look_for_gaps(node, replica, now, out);
}

void tracker_gossip::look_for_gaps(
    const std::string& node, replica& replica, time now, output& out) {
  auto& peer = peers_[node];
  if (replica.presences.heard().reach() >= peer.last)
    peer.asked.reset();
  else if (!peer.asked)
    ask(node, peer, replica, {0, 0, now}, out);
}

void tracker_gossip::ask(
    const std::string& node, peer& peer, const replica& replica, question what, output& out) {
  peer.asked = what;
  say(out, node,
      tracker_request{
          replica.incarnation, replica.presences.heard().reach(), what.after, what.until});
}

void tracker_gossip::answer(
    const std::string& node, const tracker_request& request, output& out) const {
  if (request.incarnation != state_.self().incarnation) return;
  auto& own = state_.own();
  if (request.until == 0) {
    if (auto* since = own.changes_since(request.reach))
      return say(out, node, tracker_beat{told(), since->whole()});
  }
  auto until = request.until == 0 ? told() : std::min(request.until, told());
  say(out, node, own.page(request.after, until, settings_.limits));
}

// --- telling -------------------------------------------------------------------------------------

void tracker_gossip::flush(output& out) {
  auto& own = state_.own();
  if (!own.has_changes()) return;
  auto delta = own.take_changes();
  // Who lacks so much fetches it at his own pace.
  if (delta.present.size() > settings_.limits.presences) delta = {};
  say(out, {}, tracker_beat{told(), std::move(delta)});
  periods_since_change_ = periods_since_beat_ = 0;
}

void tracker_gossip::tick(time now, output& out) {
  ++periods_since_change_;
  ++periods_since_beat_;
  flush(out);
  bool is_due = periods_since_beat_ >= settings_.max_silent_periods ||
                periods_since_change_ <= beats_after_a_change;
  if (is_due && periods_since_beat_ > 0) {
    say(out, {}, tracker_beat{told(), {}});
    periods_since_beat_ = 0;
  }
  look_after_peers(now, out);
}

void tracker_gossip::look_after_peers(time now, output& out) {
  for (auto at = peers_.begin(); at != peers_.end();) {
    auto& [node, peer] = *at;
    auto& replica = *state_.find_replica(node);
    auto silence = now - peer.heard_at;
    if (silence > settings_.permdown_period) {
      out.events.emplace_back(node, "replica permanently down");
      state_.remove_replica(node, out.changes);
      at = peers_.erase(at);
      continue;
    }
    if (silence > settings_.down_period && !replica.is_down) {
      out.events.emplace_back(node, "replica down");
      state_.replica_down(replica, out.changes);
    }
    if (peer.asked && !replica.is_down && now - peer.asked->asked_at >= settings_.broadcast_period)
      ask(node, peer, replica, {peer.asked->after, peer.asked->until, now}, out);
    ++at;
  }
  std::erase_if(lost_, [&](auto& lost) { return now - lost.second > settings_.broadcast_period; });
  std::erase_if(
      ended_, [&](auto& ended) { return now - ended.second.at > settings_.permdown_period; });
}

void tracker_gossip::node_lost(const std::string& node, time now, output& out) {
  lost_[node] = now;
  auto* replica = state_.find_replica(node);
  if (replica == nullptr || replica->is_down) return;
  peers_[node].asked.reset();
  state_.replica_down(*replica, out.changes);
  out.events.emplace_back(node, "replica down");
}

}  // namespace roost::detail
