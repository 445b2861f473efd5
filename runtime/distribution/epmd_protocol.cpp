#include "runtime/distribution/epmd_protocol.hpp"
#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <utility>

namespace roost::detail::epmd {
namespace {

// The first byte of each request and answer.
constexpr char register_code = 'x';
constexpr char registered_code = 'y';
constexpr char registered_wide_code = 'v';
constexpr char lookup_code = 'z';
constexpr char found_code = 'w';
constexpr char names_code = 'n';
constexpr char kill_code = 'k';
constexpr char stop_code = 's';
constexpr char dump_code = 'd';

constexpr std::uint8_t tcp = 0;  // the only protocol that is used
constexpr std::uint16_t first_with_wide_creation = 6;

class writer {
 public:
  void byte(std::uint8_t value) { bytes_ += static_cast<char>(value); }
  void code(char value) { bytes_ += value; }
  void two(std::uint16_t value) {
    byte(static_cast<std::uint8_t>(value >> 8));
    byte(static_cast<std::uint8_t>(value));
  }
  void four(std::uint32_t value) {
    two(static_cast<std::uint16_t>(value >> 16));
    two(static_cast<std::uint16_t>(value));
  }
  void text(std::string_view text) {
    two(static_cast<std::uint16_t>(text.size()));
    bytes_ += text;
  }
  void rest(std::string_view text) { bytes_ += text; }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Reads on past the end as zeros, and knows that it has.
class reader {
 public:
  explicit reader(std::string_view bytes) : bytes_(bytes) {}

  std::uint8_t byte() {
    if (at_ < bytes_.size()) return static_cast<std::uint8_t>(bytes_[at_++]);
    short_ = true;
    return 0;
  }
  char code() { return static_cast<char>(byte()); }
  std::uint16_t two() {
    auto high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  std::uint32_t four() {
    std::uint32_t high = two();
    return high << 16 | two();
  }
  std::string text(std::size_t longest) {
    std::size_t size = two();
    if (size > longest) too_long_ = true;
    if (size > longest || size > bytes_.size() - at_) {
      short_ = true;
      return {};
    }
    at_ += size;
    return std::string(bytes_.substr(at_ - size, size));
  }
  std::string_view rest() { return bytes_.substr(at_); }

  bool is_short() const { return short_; }
  bool is_too_long() const { return too_long_; }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
  bool short_ = false;
  bool too_long_ = false;
};

/// Registrations and answers to lookups tell an entry in the same way.
void write_entry(writer& out, const port_entry& entry) {
  out.two(entry.port);
  out.byte(entry.node_type);
  out.byte(tcp);
  out.two(entry.highest_version);
  out.two(entry.lowest_version);
  out.text(entry.name);
  out.text(entry.extra);
}

progress read_entry(reader& in, port_entry& entry) {
  entry.port = in.two();
  entry.node_type = in.byte();
  auto protocol = in.byte();
  entry.highest_version = in.two();
  entry.lowest_version = in.two();
  entry.name = in.text(longest_name);
  if (!in.is_short()) entry.extra = in.text(longest_extra);
  if (in.is_too_long()) return progress::malformed;
  if (in.is_short()) return progress::incomplete;
  return protocol == tcp && is_name(entry.name) ? progress::complete : progress::malformed;
}

std::string with_length(std::string_view body) {
  writer out;
  out.text(body);
  return out.take();
}

/// How many bytes a character takes whose first byte this is, in UTF-8; 0 if none begins like this.
std::size_t character_size(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  if (first >= 0xf0 && first <= 0xf4) return 4;
  return 0;
}

/// Surrogates, overlong forms and what is beyond the last character show in the second byte.
bool is_second(unsigned char first, unsigned char second) {
  switch (first) {
    case 0xe0:
      return second >= 0xa0 && second <= 0xbf;
    case 0xed:
      return second >= 0x80 && second <= 0x9f;
    case 0xf0:
      return second >= 0x90 && second <= 0xbf;
    case 0xf4:
      return second >= 0x80 && second <= 0x8f;
    default:
      return second >= 0x80 && second <= 0xbf;
  }
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    auto first = static_cast<unsigned char>(text.front());
    auto size = character_size(first);
    if (size == 0 || size > text.size()) return false;
    if (size > 1 && !is_second(first, static_cast<unsigned char>(text[1]))) return false;
    for (std::size_t i = 2; i < size; ++i)
      if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return false;
    text.remove_prefix(size);
  }
  return true;
}

progress decode_body(std::string_view body, request& result) {
  reader in(body);
  switch (char code = in.code(); code) {
    case register_code: {
      register_request request;
      // The length has said that there is no more to come.
      if (read_entry(in, request.entry) != progress::complete) return progress::malformed;
      result = std::move(request);
      return progress::complete;
    }
    case lookup_code:
      if (!is_name(in.rest())) return progress::malformed;
      result = lookup_request{std::string(in.rest())};
      return progress::complete;
    case names_code:
      result = names_request{};
      return progress::complete;
    case kill_code:
    case stop_code:
    case dump_code:
      result = refused_request{code};
      return progress::complete;
    default:
      return progress::malformed;
  }
}

std::string line_of(const port_entry& entry) {
  return "name " + entry.name + " at port " + std::to_string(entry.port) + "\n";
}

std::optional<port_entry> entry_of(std::string_view line) {
  constexpr std::string_view before = "name ";
  constexpr std::string_view between = " at port ";
  auto middle = line.rfind(between);
  if (!line.starts_with(before) || middle == line.npos || middle < before.size())
    return std::nullopt;
  port_entry entry;
  entry.name = line.substr(before.size(), middle - before.size());
  auto number = line.substr(middle + between.size());
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), entry.port);
  if (error != std::errc() || end != number.data() + number.size() || !is_name(entry.name))
    return std::nullopt;
  return entry;
}

}  // namespace

bool is_name(std::string_view name) noexcept {
  auto is_visible = [](char c) { return static_cast<unsigned char>(c) > ' ' && c != 0x7f; };
  return !name.empty() && name.size() <= longest_name && std::ranges::all_of(name, is_visible) &&
         is_utf8(name);
}

// -------------------------------------------------------------------------------------- requests

std::string encode_register(const port_entry& entry) {
  if (entry.name.size() > longest_name || entry.extra.size() > longest_extra)
    throw std::invalid_argument(
        "expected the part of a node's name before @ to have at most 255 bytes, got " +
        std::to_string(entry.name.size()));
  writer out;
  out.code(register_code);
  write_entry(out, entry);
  return with_length(out.take());
}

std::string encode_lookup(std::string_view name) {
  if (name.size() > longest_name)
    throw std::invalid_argument(
        "expected the part of a node's name before @ to have at most 255 bytes, got " +
        std::to_string(name.size()));
  return with_length(lookup_code + std::string(name));
}

std::string encode_names() { return with_length(std::string(1, names_code)); }

progress decode_request(std::string_view bytes, request& result) {
  reader in(bytes);
  std::size_t size = in.two();
  if (in.is_short()) return progress::incomplete;
  if (size == 0 || size + 2 > longest_request) return progress::malformed;
  auto rest = in.rest();
  if (rest.size() < size) return progress::incomplete;
  return decode_body(rest.substr(0, size), result);
}

// --------------------------------------------------------------------------------------- answers

std::string encode_registration(const registration& answer, std::uint16_t highest_version) {
  writer out;
  const bool wide = highest_version >= first_with_wide_creation;
  out.code(wide ? registered_wide_code : registered_code);
  out.byte(answer.accepted ? 0 : 1);
  if (wide)
    out.four(answer.creation);
  else
    out.two(static_cast<std::uint16_t>(answer.creation));
  return out.take();
}

progress decode_registration(std::string_view bytes, registration& answer) {
  reader in(bytes);
  char code = in.code();
  if (in.is_short()) return progress::incomplete;
  if (code != registered_code && code != registered_wide_code) return progress::malformed;
  answer.accepted = in.byte() == 0;
  answer.creation = code == registered_code ? in.two() : in.four();
  return in.is_short() ? progress::incomplete : progress::complete;
}

std::string encode_lookup_answer(const port_entry* entry) {
  writer out;
  out.code(found_code);
  out.byte(entry != nullptr ? 0 : 1);
  if (entry != nullptr) write_entry(out, *entry);
  return out.take();
}

progress decode_lookup_answer(std::string_view bytes, std::optional<port_entry>& answer) {
  reader in(bytes);
  char code = in.code();
  if (!in.is_short() && code != found_code) return progress::malformed;
  auto result = in.byte();
  if (in.is_short()) return progress::incomplete;
  answer.reset();
  if (result != 0) return progress::complete;
  port_entry entry;
  auto state = read_entry(in, entry);
  if (state == progress::complete) answer = std::move(entry);
  return state;
}

progress decode_names_answer(std::string_view bytes, std::vector<port_entry>& answer) {
  reader in(bytes);
  in.four();  // the port that it listens at, which is known already
  if (in.is_short()) return progress::incomplete;
  answer.clear();
  auto text = in.rest();
  while (!text.empty()) {
    auto end = text.find('\n');
    if (end == text.npos) return progress::incomplete;
    // Erlang's epmd takes names with line breaks. One such name must not hide the others.
    if (auto entry = entry_of(text.substr(0, end))) answer.push_back(std::move(*entry));
    text.remove_prefix(end + 1);
  }
  return progress::complete;
}

// ---------------------------------------------------------------------------------------- server

server::server(port_entry own, std::uint16_t epmd_port, std::function<std::uint32_t()> random)
    : epmd_port_(epmd_port), random_(std::move(random)) {
  own_creation_ = new_creation(own.highest_version);
  add(0, own);
}

server::reply server::answer(const peer& from, const request& request) {
  return std::visit([&](auto& which) { return answer_to(from, which); }, request);
}

void server::closed(connection_id connection) noexcept {
  std::erase_if(entries_, [&](auto& one) { return one.second.connection == connection; });
}

server::reply server::answer_to(const peer& from, const register_request& request) {
  if (!is_primary_ || !from.is_local) return {};
  auto& entry = request.entry;
  if (!add(from.connection, entry))
    return {.bytes = encode_registration({}, entry.highest_version)};
  registration answer{.accepted = true, .creation = new_creation(entry.highest_version)};
  return {.bytes = encode_registration(answer, entry.highest_version), .then = reply::next::keep};
}

server::reply server::answer_to(const peer&, const lookup_request& request) const {
  auto found = entries_.find(request.name);
  if (found != entries_.end()) return {.bytes = encode_lookup_answer(&found->second.entry)};
  if (!is_primary_) return {.then = reply::next::relay};
  return {.bytes = encode_lookup_answer(nullptr)};
}

server::reply server::answer_to(const peer&, const names_request&) const {
  if (!is_primary_) return {.then = reply::next::relay};
  writer out;
  out.four(epmd_port_);
  for (auto& [name, one] : entries_) out.rest(line_of(one.entry));
  return {.bytes = out.take()};
}

/// `epmd -kill` prints a sentence for this answer; the others expect nothing but the end.
server::reply server::answer_to(const peer& from, const refused_request& request) const {
  if (request.code == kill_code && from.is_local) return {.bytes = "NO"};
  return {};
}

bool server::add(connection_id connection, const port_entry& entry) {
  if (entries_.size() >= most_entries) return false;
  return entries_.try_emplace(entry.name, registered{connection, entry}).second;
}

/// Tells a node's pids from those of an earlier node of that name. Another port mapper may have
/// given the earlier one, so a counter would not do. 0 is no creation, and 1 to 3 are those of old
/// nodes.
std::uint32_t server::new_creation(std::uint16_t highest_version) const {
  auto number = random_();
  if (highest_version < first_with_wide_creation) return number % 3 + 1;
  return number > 3 ? number : number + 4;
}

}  // namespace roost::detail::epmd
