#include "channels/interest_filter.hpp"
#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace roost::detail {
namespace {

constexpr auto most_counted = std::numeric_limits<std::uint8_t>::max();

std::array<std::uint32_t, interest_probes> positions_of(std::uint64_t hash, unsigned bits) {
  auto mask = (std::uint32_t{1} << bits) - 1;
  auto first = static_cast<std::uint32_t>(hash);
  auto step = static_cast<std::uint32_t>(hash >> 32) | 1;
  std::array<std::uint32_t, interest_probes> positions;
  for (auto& position : positions) {
    position = first & mask;
    first += step;
  }
  return positions;
}

}  // namespace

/// FNV-1a, whose upper and lower bits are then mixed (the finaliser of MurmurHash3).
std::uint64_t interest_hash(std::string_view topic) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (auto byte : topic) {
    hash ^= static_cast<std::uint8_t>(byte);
    hash *= 0x100000001b3;
  }
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccd;
  hash ^= hash >> 33;
  hash *= 0xc4ceb9fe1a85ec53;
  return hash ^ hash >> 33;
}

// --- one's own -----------------------------------------------------------------------------------

own_interest::own_interest() : counts_(std::size_t{1} << bits_) {}

void own_interest::count(std::uint64_t hash, bool more) {
  for (auto position : positions_of(hash, bits_)) {
    auto& count = counts_[position];
    if (count == most_counted) continue;
    if (more ? count++ == 0 : --count == 0) touched_.push_back(position);
  }
}

void own_interest::add(std::string_view topic) {
  auto hash = interest_hash(topic);
  if (topics_[hash]++ != 0) return;
  count(hash, true);
  fit();
}

void own_interest::remove(std::string_view topic) {
  auto hash = interest_hash(topic);
  auto found = topics_.find(hash);
  if (found == topics_.end() || --found->second != 0) return;
  topics_.erase(found);
  count(hash, false);
  fit();
}

/// Eight bits or more for a topic, and not many more than needed: 64 when it is made smaller.
void own_interest::fit() {
  auto bits = bits_;
  while (bits < most_interest_bits && topics_.size() > std::size_t{1} << (bits - 3)) ++bits;
  while (bits > least_interest_bits && topics_.size() < std::size_t{1} << (bits - 6)) --bits;
  if (bits == bits_) return;
  bits_ = bits;
  counts_.assign(std::size_t{1} << bits, 0);
  counts_.shrink_to_fit();
  for (auto& [hash, count_of_hash] : topics_) count(hash, true);
  touched_ = {};
  resized_ = true;
}

interest_snapshot own_interest::snapshot() const {
  interest_snapshot whole{static_cast<std::uint8_t>(bits_), std::string(counts_.size() / 8, '\0')};
  for (std::size_t i = 0; i < counts_.size(); ++i)
    if (counts_[i] != 0) whole.bytes[i / 8] = static_cast<char>(whole.bytes[i / 8] | 1 << i % 8);
  return whole;
}

std::optional<interest_delta> own_interest::take_changes() {
  auto touched = std::exchange(touched_, {});
  // Positions take three bytes or so, of which the whole has an eighth each.
  bool too_many = touched.size() > counts_.size() / 32;
  if (std::exchange(resized_, false) || too_many) return std::nullopt;
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  interest_delta delta;
  for (auto position : touched) (is_set(position) ? delta.set : delta.cleared).push_back(position);
  return delta;
}

// --- others' -------------------------------------------------------------------------------------

bool others_interest::assign(const interest_snapshot& snapshot) {
  forget();
  if (snapshot.bits < least_interest_bits || snapshot.bits > most_interest_bits) return false;
  if (snapshot.bytes.size() != std::size_t{1} << (snapshot.bits - 3)) return false;
  bits_ = snapshot.bits;
  bytes_ = std::string(snapshot.bytes);  // with no more memory than that
  return true;
}

bool others_interest::apply(const interest_delta& delta) {
  auto is_outside = [this](std::uint32_t position) { return position >> bits_ != 0; };
  if (bits_ == 0 || std::any_of(delta.set.begin(), delta.set.end(), is_outside) ||
      std::any_of(delta.cleared.begin(), delta.cleared.end(), is_outside)) {
    forget();
    return false;
  }
  for (auto position : delta.set)
    bytes_[position / 8] = static_cast<char>(bytes_[position / 8] | 1 << position % 8);
  for (auto position : delta.cleared)
    bytes_[position / 8] = static_cast<char>(bytes_[position / 8] & ~(1 << position % 8));
  return true;
}

bool others_interest::may_want(std::uint64_t topic_hash) const noexcept {
  if (bits_ == 0) return true;
  for (auto position : positions_of(topic_hash, bits_))
    if ((bytes_[position / 8] >> position % 8 & 1) == 0) return false;
  return true;
}

}  // namespace roost::detail
