#include "runtime/distribution/lanes.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

constexpr std::uint8_t first_fragment = 1;
constexpr std::uint8_t last_fragment = 2;

std::uint32_t length_at(const std::string& frames, std::size_t at) noexcept {
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < 4; ++i)
    length |= std::uint32_t{static_cast<std::uint8_t>(frames[at + i])} << (8 * i);
  return length;
}

constexpr std::size_t fragment_head = 3;  // stream and flags
constexpr std::size_t length_of_whole = 8;

/// How many bytes a signal of this size takes on the wire.
std::size_t framed(std::size_t size) noexcept {
  if (size <= fragment_size) return frame_header + size;
  auto fragments = (size + fragment_size - 1) / fragment_size;
  return size + fragments * (frame_header + fragment_head) + length_of_whole;
}

}  // namespace

void outgoing_lanes::control(frame_type type, std::string_view body) {
  put_frame(control_, type, body);
  size_ += frame_header + body.size();
}

// --- coming in -----------------------------------------------------------------------------------

/// The stream that a message of these two has to join, if there is one.
outgoing_lanes::stream* outgoing_lanes::newest_stream(pid from, pid to) {
  stream* newest = nullptr;
  for (auto& stream : streams_) {
    bool fits = stream.from == from && (stream.to == to || stream.to.is_name() || to.is_name());
    if (fits && (newest == nullptr || newest->serial < stream.serial)) newest = &stream;
  }
  return newest;
}

outgoing_lanes::stream& outgoing_lanes::new_stream(pid from, pid to) {
  auto& fresh = streams_.emplace_back();
  fresh.serial = ++last_serial_;
  fresh.after = small_put_;
  fresh.from = from;
  fresh.to = to;
  return fresh;
}

void outgoing_lanes::add_to(stream& stream, wire_buffer& body) {
  size_ += framed(body.size());
  auto& place = stream.waiting.emplace_back();
  if (body.size() > fragment_size)
    place = std::move(body);
  else
    place.append(body.view());
}

void outgoing_lanes::signal(pid from, pid to, wire_buffer& body) {
  if (auto* busy = streams_.empty() ? nullptr : newest_stream(from, to)) {
    // The name may belong to the receiver of any of them, so it waits for all.
    if (to.is_name() && !busy->to.is_name()) busy = &new_stream(from, to);
    return add_to(*busy, body);
  }
  if (body.size() > fragment_size) return add_to(new_stream(from, to), body);
  put_frame(small_, frame_type::signal, body.view());
  small_put_ += frame_header + body.size();
  size_ += frame_header + body.size();
}

// --- going out -----------------------------------------------------------------------------------

void outgoing_lanes::take_small(std::string& out, std::size_t limit) {
  auto left = small_.size() - small_taken_;
  auto count = left;
  if (left > limit) {
    count = 0;
    while (count < limit) count += 4 + length_at(small_, small_taken_ + count);
  }
  if (count == 0) return;
  if (count == small_.size() && out.empty()) {
    out.swap(small_);
    small_.clear();
  } else {
    out.append(small_, small_taken_, count);
    small_taken_ += count;
    forget_small();
  }
  small_gone_ += count;
  size_ -= count;
}

/// What has gone is dropped when it is the greater part, so that each byte is moved once at most,
/// and a lane that never runs dry does not grow.
void outgoing_lanes::forget_small() {
  if (small_taken_ < small_.size() - small_taken_) return;
  small_.erase(0, small_taken_);
  small_taken_ = 0;
}

bool outgoing_lanes::is_oldest_of_sender(const stream& stream) const {
  return std::none_of(streams_.begin(), streams_.end(), [&](const auto& other) {
    return other.from == stream.from && other.serial < stream.serial;
  });
}

bool outgoing_lanes::may_go(const stream& stream) const {
  if (stream.open) return true;
  if (small_gone_ < stream.after) return false;
  if (stream.to.is_name() && !is_oldest_of_sender(stream)) return false;
  auto size = stream.waiting.front().size();
  return size <= fragment_size || open_ == 0 ||
         (open_ < most_streams && open_bytes_ + size <= largest_total_);
}

/// A stream may stay open while 65,536 others come and go.
std::uint16_t outgoing_lanes::free_id() {
  auto is_taken = [this](const stream& stream) { return stream.open && stream.id == last_id_; };
  do ++last_id_;
  while (std::any_of(streams_.begin(), streams_.end(), is_taken));
  return last_id_;
}

void outgoing_lanes::open(stream& stream) {
  stream.id = free_id();
  stream.open = true;
  ++open_;
  open_bytes_ += stream.waiting.front().size();
}

void outgoing_lanes::take_fragment(stream& stream, std::string& out) {
  auto& body = stream.waiting.front();
  auto part = body.view().substr(stream.sent, fragment_size);
  bool first = stream.sent == 0;
  bool last = stream.sent + part.size() == body.size();
  if (first) open(stream);
  wire_buffer head;
  wire_writer writer{head};
  auto length = 1 + fragment_head + (first ? length_of_whole : 0) + part.size();
  writer.fixed32(static_cast<std::uint32_t>(length));
  writer.byte(static_cast<std::uint8_t>(frame_type::fragment));
  writer.byte(static_cast<std::uint8_t>(stream.id));
  writer.byte(static_cast<std::uint8_t>(stream.id >> 8));
  writer.byte(static_cast<std::uint8_t>((first ? first_fragment : 0) | (last ? last_fragment : 0)));
  if (first) writer.fixed64(body.size());
  out.append(head.view()).append(part);
  size_ -= head.size() + part.size();
  stream.sent += part.size();
  if (!last) return;
  stream.open = false;
  --open_;
  open_bytes_ -= body.size();
}

/// The next frame of a stream.
void outgoing_lanes::take_next(stream& stream, std::string& out) {
  auto& body = stream.waiting.front();
  if (body.size() > fragment_size) {
    take_fragment(stream, out);
    if (stream.open) return;
  } else {
    put_frame(out, frame_type::signal, body.view());
    size_ -= frame_header + body.size();
  }
  stream.sent = 0;
  stream.waiting.pop_front();
}

void outgoing_lanes::take_streams(std::string& out, std::size_t limit) {
  for (auto turns = streams_.size(); turns > 0 && out.size() < limit; --turns) {
    auto stream = streams_.begin();
    if (may_go(*stream)) take_next(*stream, out);
    if (stream->waiting.empty())
      streams_.erase(stream);
    else
      streams_.splice(streams_.end(), streams_, stream);
  }
}

void outgoing_lanes::take(std::string& out, std::size_t limit) {
  size_ -= control_.size();
  if (out.empty())
    out.swap(control_);
  else
    out.append(control_);
  control_.clear();
  take_small(out, streams_.empty() ? limit : limit / 2);
  while (out.size() < limit && !empty()) {
    auto before = out.size();
    take_streams(out, limit);
    // Streams may all wait for small messages.
    if (out.size() == before) take_small(out, limit - out.size());
    if (out.size() == before) return;
  }
}

// --- putting together ----------------------------------------------------------------------------

std::optional<std::string> incoming_streams::take(std::string_view fragment) {
  wire_reader in{fragment};
  auto id = static_cast<std::uint16_t>(in.byte());
  id = static_cast<std::uint16_t>(id | (in.byte() << 8));
  auto flags = in.byte();
  auto found = streams_.find(id);
  if (((flags & first_fragment) != 0) != (found == streams_.end()))
    throw decode_error(
        "expected the " + std::string(found == streams_.end() ? "first" : "next") +
        " fragment of a message, got another one");
  if (found == streams_.end()) {
    auto total = in.fixed64();
    if (streams_.size() >= most_streams)
      throw decode_error("expected at most 64 large messages at a time, got one more");
    if (total > largest_total_ || promised_ > largest_total_ - total)
      throw decode_error(
          "expected messages of at most " + std::to_string(largest_total_) + " bytes, got " +
          std::to_string(total));
    promised_ += total;
    found = streams_.emplace(id, stream{total, {}}).first;
    // Takes addresses, not memory, until the bytes come; growing step by step would copy them.
    found->second.bytes.reserve(total);
  }
  auto& stream = found->second;
  auto bytes = in.rest();
  if (bytes.size() > stream.total - stream.bytes.size())
    throw decode_error("expected a message of the announced length, got more");
  stream.bytes.append(bytes);
  size_ += bytes.size();
  if ((flags & last_fragment) == 0) return std::nullopt;
  if (stream.bytes.size() != stream.total)
    throw decode_error("expected a message of the announced length, got less");
  size_ -= stream.total;
  promised_ -= stream.total;
  auto whole = std::move(stream.bytes);
  streams_.erase(found);
  return whole;
}

}  // namespace roost::detail
