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

}  // namespace

void outgoing_lanes::control(frame_type type, std::string_view body) {
  put_frame(control_, type, body);
  size_ += frame_header + body.size();
}

outgoing_lanes::stream* outgoing_lanes::stream_of(pid from, pid to) {
  for (auto& stream : streams_)
    if (stream.from == from && (stream.to == to || stream.to.is_name() || to.is_name()))
      return &stream;
  return nullptr;
}

void outgoing_lanes::add_to(stream& stream, wire_buffer& body) {
  stream.bytes += body.size();
  size_ += body.size();
  stream.waiting.push_back(std::move(body));
}

void outgoing_lanes::signal(pid from, pid to, wire_buffer& body) {
  if (!streams_.empty())
    if (auto* busy = stream_of(from, to)) {
      // A name and a pid may be the same process, so from here on the stream stands for any
      // receiver.
      if (busy->to != to && !busy->to.is_name()) busy->to = to;
      wire_buffer copy;
      copy.append(body.view());
      return add_to(*busy, copy);
    }
  if (body.size() <= fragment_size) {
    put_frame(small_, frame_type::signal, body.view());
    size_ += frame_header + body.size();
    return;
  }
  auto& fresh = streams_.emplace_back();
  fresh.id = next_id_++;
  fresh.from = from;
  fresh.to = to;
  add_to(fresh, body);
}

void outgoing_lanes::take_small(std::string& out, std::size_t limit) {
  auto left = small_.size() - small_taken_;
  if (left == 0) return;
  auto count = left;
  if (left > limit) {
    count = 0;
    while (count < limit) count += 4 + length_at(small_, small_taken_ + count);
  }
  if (count == small_.size() && out.empty()) {
    out.swap(small_);
  } else {
    out.append(small_, small_taken_, count);
    small_taken_ += count;
  }
  size_ -= count;
  if (small_taken_ != small_.size() && !small_.empty()) return;
  small_.clear();
  small_taken_ = 0;
}

bool outgoing_lanes::may_open(const stream& stream) const {
  return open_ < most_streams &&
         (open_ == 0 || open_bytes_ + stream.waiting.front().size() <= largest_total_);
}

void outgoing_lanes::take_fragment(stream& stream, std::string& out) {
  auto& body = stream.waiting.front();
  if (stream.sent == 0 && body.size() <= fragment_size) {
    put_frame(out, frame_type::signal, body.view());
    stream.sent = body.size();
    size_ -= body.size();
  } else {
    auto count = std::min(fragment_size, body.size() - stream.sent);
    std::uint8_t flags = 0;
    if (stream.sent == 0) flags |= first_fragment;
    if (stream.sent + count == body.size()) flags |= last_fragment;
    wire_buffer head;
    wire_writer writer{head};
    writer.byte(static_cast<std::uint8_t>(stream.id));
    writer.byte(static_cast<std::uint8_t>(stream.id >> 8));
    writer.byte(flags);
    if (stream.sent == 0) {
      writer.fixed64(body.size());
      ++open_;
      open_bytes_ += body.size();
      stream.open = true;
    }
    wire_buffer frame;
    auto length = static_cast<std::uint32_t>(1 + head.size() + count);
    wire_writer framing{frame};
    framing.fixed32(length);
    framing.byte(static_cast<std::uint8_t>(frame_type::fragment));
    out.append(frame.view()).append(head.view()).append(body.view().substr(stream.sent, count));
    stream.sent += count;
    size_ -= count;
  }
  if (stream.sent != body.size()) return;
  if (std::exchange(stream.open, false)) {
    --open_;
    open_bytes_ -= body.size();
  }
  stream.bytes -= body.size();
  stream.sent = 0;
  stream.waiting.pop_front();
}

void outgoing_lanes::take_streams(std::string& out, std::size_t limit) {
  // Round robin: whoever had a turn goes to the end.
  for (auto turns = streams_.size(); turns > 0 && out.size() < limit && !streams_.empty();
       --turns) {
    auto stream = streams_.begin();
    if (stream->sent != 0 || stream->waiting.front().size() <= fragment_size || may_open(*stream))
      take_fragment(*stream, out);
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
  if (streams_.empty()) return take_small(out, limit);
  take_small(out, limit / 2);
  while (!streams_.empty() && out.size() < limit) {
    auto before = out.size();
    take_streams(out, limit);
    if (out.size() == before) return;
  }
}

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
