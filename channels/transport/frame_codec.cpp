#include "channels/transport/frame_codec.hpp"
#include "channels/transport/utf8.hpp"
#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace roost {
namespace {

constexpr std::uint8_t fin_bit = 0x80, rsv1_bit = 0x40, rsv2_and_3_bits = 0x30, mask_bit = 0x80;
constexpr std::size_t longest_control_payload = 125, longest_header = 14;

struct decoded_header {
  opcode code = opcode::continuation;
  bool fin = false;
  bool rsv1 = false;
  bool masked = false;
  std::uint8_t size = 0;  // 0: not all of the header is there yet
  mask_key key = {};
  std::uint64_t length = 0;
  const char* fault = nullptr;
};

bool is_control(opcode code) { return (static_cast<std::uint8_t>(code) & 8) != 0; }

bool continues_message(opcode code) { return code == opcode::continuation; }

frame_event failure(close_code code, const char* reason) {
  return {.kind = frame_event::error, .code = code, .reason = reason};
}

frame_event protocol_error(const char* why) { return failure(close_code::protocol_error, why); }

std::span<char> take(std::span<char>& input, std::size_t size) {
  const auto taken = input.first(size);
  input = input.subspan(size);
  return taken;
}

// --- Headers -------------------------------------------------------------------------------------

const char* fault_in_first_bytes(
    std::uint8_t first, std::uint8_t second, const frame_limits& limits) {
  const auto code = static_cast<opcode>(first & 0x0f);
  const bool from_client = limits.role == frame_role::server;
  if ((first & 0x07) > 2) return "reserved opcode";  // 3 to 7 of data, 11 to 15 of control
  if (first & rsv2_and_3_bits) return "RSV2 or RSV3 set without an extension";
  const bool begins_message = code == opcode::text || code == opcode::binary;
  if ((first & rsv1_bit) && !(limits.allow_rsv1 && begins_message)) return "RSV1 out of place";
  if (is_control(code) && !(first & fin_bit)) return "fragmented control frame";
  if (is_control(code) && (second & 0x7f) > longest_control_payload) return "long control frame";
  if (((second & mask_bit) != 0) != from_client)
    return from_client ? "unmasked frame from a client" : "masked frame from a server";
  return nullptr;
}

std::uint64_t read_big_endian(std::span<const char> bytes) {
  std::uint64_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<std::uint8_t>(byte);
  return number;
}

const char* fault_in_length(std::uint64_t length, std::size_t bytes) {
  if (length >> 63) return "64-bit length with its top bit set";
  if (length < (bytes == 2 ? 126u : 65536u)) return "length not in its shortest form";
  return nullptr;
}

/// Reads 7, 16 or 64 bits of length; answers where the length ends, 0 if that is not here yet.
std::size_t decode_length(std::span<const char> bytes, decoded_header& header) {
  header.length = bytes[1] & 0x7f;
  if (header.length < 126) return 2;
  const std::size_t size = header.length == 126 ? 2 : 8;
  if (bytes.size() < 2 + size) return 0;
  header.length = read_big_endian(bytes.subspan(2, size));
  header.fault = fault_in_length(header.length, size);
  return 2 + size;
}

decoded_header decode_header(std::span<const char> bytes, const frame_limits& limits) {
  decoded_header header;
  if (bytes.size() < 2) return header;
  const auto first = static_cast<std::uint8_t>(bytes[0]);
  const auto second = static_cast<std::uint8_t>(bytes[1]);
  header.fault = fault_in_first_bytes(first, second, limits);
  if (header.fault) return header;

  header.code = static_cast<opcode>(first & 0x0f);
  header.fin = (first & fin_bit) != 0;
  header.rsv1 = (first & rsv1_bit) != 0;
  header.masked = (second & mask_bit) != 0;
  std::size_t size = decode_length(bytes, header);
  if (size == 0 || header.fault) return header;
  if (header.masked) {
    if (bytes.size() < size + header.key.size()) return header;
    std::memcpy(header.key.data(), bytes.data() + size, header.key.size());
    size += header.key.size();
  }
  header.size = static_cast<std::uint8_t>(size);
  return header;
}

// --- Events --------------------------------------------------------------------------------------

bool may_be_sent(std::uint64_t code) {
  if (code >= 3000) return code <= 4999;
  return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

frame_event close_event(std::span<char> payload) {
  if (payload.empty()) return {.kind = frame_event::close};
  if (payload.size() == 1) return protocol_error("close frame of one byte");
  const auto code = read_big_endian(payload.first(2));
  const auto reason = payload.subspan(2);
  if (!may_be_sent(code)) return protocol_error("close code not to be sent");
  if (!is_utf8(reason)) return failure(close_code::invalid_payload, "close reason not in UTF-8");
  return {
      .kind = frame_event::close,
      .code = static_cast<close_code>(code),
      .reason = {reason.data(), reason.size()}};
}

frame_event control_event(opcode code, std::span<char> payload) {
  if (code == opcode::close) return close_event(payload);
  return {.kind = code == opcode::ping ? frame_event::ping : frame_event::pong, .payload = payload};
}

frame_event message_event(opcode code, bool compressed, std::span<char> payload) {
  return {
      .kind = code == opcode::text ? frame_event::text : frame_event::binary,
      .compressed = compressed,
      .payload = payload};
}

frame_event not_utf8() { return failure(close_code::invalid_payload, "text not in UTF-8"); }

/// Refuses a frame that would be fine by itself, given the `before` bytes of an `open` message.
frame_event out_of_place(
    const decoded_header& header, bool open, std::size_t before, const frame_limits& limits) {
  if (is_control(header.code)) return {};
  if (continues_message(header.code) && !open) return protocol_error("continuation of nothing");
  if (open && !continues_message(header.code)) return protocol_error("new message in another");
  if (header.length > limits.max_frame_size || before > limits.max_frame_size - header.length)
    return failure(close_code::message_too_big, "message longer than max_frame_size");
  return {};
}

// The three functions that make most events write them where the caller wants them: to copy an
// event takes about as long as to decode a short frame.

void whole_frame(const decoded_header& header, std::span<char> payload, frame_event& event) {
  const bool ascii = header.masked && apply_mask(payload, header.key);
  const bool check = header.code == opcode::text && !header.rsv1 && !ascii;
  if (is_control(header.code)) {
    event = control_event(header.code, payload);
  } else if (check && !is_utf8(payload)) {
    event = not_utf8();
  } else {
    event = message_event(header.code, header.rsv1, payload);
  }
}

}  // namespace

// --- Decoder -------------------------------------------------------------------------------------

constexpr std::size_t long_frame = 256 * 1024;

struct partial_message {
  std::array<char, longest_header> header_bytes;
  std::uint8_t header_size = 0;  // how many of those are filled

  bool in_payload = false;  // of the frame that `header` describes; at least one byte is missing
  decoded_header header;
  std::uint64_t received = 0;  // of that frame's payload

  bool message_open = false;  // its last fragment is not here yet
  opcode message_code = opcode::text;
  bool compressed = false;
  std::size_t known_valid = 0;  // bytes of a text that are whole characters of UTF-8
  std::vector<char> message;
  std::vector<char> control;  // apart, because control frames come between fragments

  bool idle() const { return header_size == 0 && !in_payload && !message_open; }

  /// The bytes kept from earlier with the new ones after them, as far as a header can reach.
  std::span<const char> header_with(std::span<const char> input) {
    if (header_size == 0) return input;
    const auto more = std::min(input.size(), header_bytes.size() - header_size);
    std::copy_n(input.begin(), more, header_bytes.begin() + header_size);
    return std::span(header_bytes).first(header_size + more);
  }

  void begin(const decoded_header& next) {
    header = next;
    header_size = 0;
    received = 0;
    in_payload = true;
    if (is_control(next.code)) {
      control.clear();
    } else if (!continues_message(next.code)) {
      message_open = true;
      message_code = next.code;
      compressed = next.rsv1;
    }
  }

  void append(std::vector<char>& to, std::span<const char> bytes, std::size_t max_size) {
    grow(to, bytes.size(), max_size);
    const auto before = to.size();
    to.insert(to.end(), bytes.begin(), bytes.end());
    if (header.masked) apply_mask(std::span(to).subspan(before), header.key, received % 4);
    received += bytes.size();
  }

  /// Doubles, so that a message is copied once on average, but not past what can still come. Once
  /// much has come, the whole frame gets its place: what is not written yet costs no memory, and
  /// copying megabytes takes time.
  void grow(std::vector<char>& buffer, std::size_t more, std::size_t max_size) const {
    const auto needed = buffer.size() + more;
    if (needed <= buffer.capacity()) return;
    const auto end_of_frame = buffer.size() + static_cast<std::size_t>(header.length - received);
    const auto ceiling = header.fin ? end_of_frame : std::max(end_of_frame, max_size);
    const auto wanted = needed > long_frame ? end_of_frame : 2 * buffer.capacity();
    buffer.reserve(std::min(std::max(needed, wanted), ceiling));
  }

  /// Looks at each byte of a text once, as it comes, so that a bad one ends the message at once.
  bool valid_so_far(bool message_ends) {
    const auto fresh = std::span(message).subspan(known_valid);
    const auto tail = message_ends ? 0 : cut_off_tail(fresh);
    known_valid = message.size() - tail;
    return is_utf8(fresh.first(fresh.size() - tail)) && may_become_character(fresh.last(tail));
  }
};

namespace {

void keep_header(std::unique_ptr<partial_message>& partial, std::span<char>& input) {
  if (!partial) partial = std::make_unique<partial_message>();
  std::copy(input.begin(), input.end(), partial->header_bytes.begin() + partial->header_size);
  partial->header_size += static_cast<std::uint8_t>(input.size());
  input = {};
}

void continue_frame(
    partial_message& partial, std::span<char>& input, const frame_limits& limits,
    frame_event& event) {
  const auto& header = partial.header;
  const bool control = is_control(header.code);
  auto& buffer = control ? partial.control : partial.message;
  const auto size = std::min<std::uint64_t>(header.length - partial.received, input.size());
  partial.append(buffer, take(input, static_cast<std::size_t>(size)), limits.max_frame_size);
  partial.in_payload = partial.received < header.length;

  const bool message_ends = header.fin && !partial.in_payload;
  const bool check = partial.message_code == opcode::text && !partial.compressed;
  if (control) {
    if (!partial.in_payload) event = control_event(header.code, buffer);
  } else if (check && !partial.valid_so_far(message_ends)) {
    event = not_utf8();
  } else if (message_ends) {
    partial.message_open = false;
    event = message_event(partial.message_code, partial.compressed, buffer);
  }
}

void begin_frame(
    std::unique_ptr<partial_message>& partial, std::span<char>& input, const frame_limits& limits,
    frame_event& event) {
  const auto header = decode_header(partial ? partial->header_with(input) : input, limits);
  if (header.fault) return void(event = protocol_error(header.fault));
  if (header.size == 0) return keep_header(partial, input);
  const bool open = partial && partial->message_open;
  event = out_of_place(header, open, open ? partial->message.size() : 0, limits);
  if (event) return;

  take(input, header.size - (partial ? partial->header_size : 0));
  const bool complete = is_control(header.code) || (header.fin && !continues_message(header.code));
  if (complete && header.length <= input.size()) {
    if (partial) partial->header_size = 0;
    return whole_frame(header, take(input, static_cast<std::size_t>(header.length)), event);
  }
  if (!partial) partial = std::make_unique<partial_message>();
  partial->begin(header);
  continue_frame(*partial, input, limits, event);
}

}  // namespace

frame_decoder::frame_decoder() noexcept = default;
frame_decoder::frame_decoder(frame_decoder&&) noexcept = default;
frame_decoder& frame_decoder::operator=(frame_decoder&&) noexcept = default;
frame_decoder::~frame_decoder() = default;

frame_event frame_decoder::next(std::span<char>& input, const frame_limits& limits) {
  if (finished_) input = {};
  // What the previous call delivered may have pointed into the partial state; now it may go.
  if (partial_ && (finished_ || partial_->idle())) partial_.reset();
  frame_event event;
  while (!event && !input.empty()) {
    if (partial_ && partial_->in_payload) {
      continue_frame(*partial_, input, limits, event);
    } else {
      begin_frame(partial_, input, limits, event);
    }
  }
  if (event.kind == frame_event::close || event.kind == frame_event::error) finished_ = true;
  // A refused message may be large, and its connection may linger while it is drained.
  if (event.kind == frame_event::error) partial_.reset();
  return event;
}

std::vector<char> frame_decoder::release(std::span<const char> payload) {
  if (partial_ && partial_->message.data() == payload.data()) return std::move(partial_->message);
  return {payload.begin(), payload.end()};
}

std::size_t frame_decoder::memory() const {
  if (!partial_) return 0;
  return sizeof(partial_message) + partial_->message.capacity() + partial_->control.capacity();
}

// --- Encoder -------------------------------------------------------------------------------------

namespace {

void write_big_endian(char* to, std::uint64_t number, std::size_t bytes) {
  for (std::size_t i = bytes; i-- > 0; number >>= 8) to[i] = static_cast<char>(number);
}

}  // namespace

frame_header encode_header(opcode code, std::uint64_t payload_size, const frame_options& options) {
  frame_header header;
  char* const bytes = header.bytes.data();
  const int first = (options.fin ? fin_bit : 0) | (options.rsv1 ? rsv1_bit : 0);
  const std::size_t extra = payload_size < 126 ? 0 : payload_size < 65536 ? 2 : 8;
  const auto length = extra == 0 ? payload_size : extra == 2 ? 126u : 127u;
  bytes[0] = static_cast<char>(first | static_cast<int>(code));
  bytes[1] = static_cast<char>((options.mask ? mask_bit : 0) | length);
  write_big_endian(bytes + 2, payload_size, extra);
  if (options.mask) std::copy(options.mask->begin(), options.mask->end(), bytes + 2 + extra);
  header.size = static_cast<std::uint8_t>(2 + extra + (options.mask ? 4 : 0));
  return header;
}

void append_frame(
    std::string& out, opcode code, std::string_view payload, const frame_options& options) {
  out += encode_header(code, payload.size(), options).view();
  out += payload;
  if (options.mask) apply_mask(std::span(out).last(payload.size()), *options.mask);
}

void append_close(
    std::string& out, close_code code, std::string_view reason, const frame_options& options) {
  std::string payload;
  if (code != close_code::none) {
    payload.resize(2);
    write_big_endian(payload.data(), static_cast<std::uint16_t>(code), 2);
    payload += reason.substr(0, longest_control_payload - 2);
    if (reason.size() > longest_control_payload - 2)
      payload.resize(payload.size() - cut_off_tail(payload));
  }
  append_frame(out, opcode::close, payload, options);
}

// --- Masking -------------------------------------------------------------------------------------

namespace {

std::uint64_t load(const char* from) {
  std::uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

void store(char* to, std::uint64_t word) { std::memcpy(to, &word, sizeof word); }

std::uint64_t doubled(std::uint32_t word) { return std::uint64_t{word} << 32 | word; }

/// The key as it lies over bytes that begin at `position`.
std::uint32_t rotated(mask_key key, std::size_t position) {
  const int bits = static_cast<int>(position % 4) * 8;
  const auto word = std::bit_cast<std::uint32_t>(key);
  return std::endian::native == std::endian::little ? std::rotr(word, bits) : std::rotl(word, bits);
}

bool apply_to_few(char* at, std::size_t size, mask_key key) {
  int seen = 0;
  for (std::size_t i = 0; i < size; ++i) {
    at[i] = static_cast<char>(at[i] ^ key[i % 4]);
    seen |= at[i];
  }
  return (seen & 0x80) == 0;
}

}  // namespace

bool apply_mask(std::span<char> bytes, mask_key key, std::size_t position) {
  constexpr std::size_t step = sizeof(std::uint64_t), stride = 4 * step;
  const auto word = rotated(key, position);
  const auto size = bytes.size();
  char* const at = bytes.data();
  if (size < step) return apply_to_few(at, size, std::bit_cast<mask_key>(word));

  // The last word may overlap the one before it, so it is read before anything is written.
  const auto last = load(at + size - step) ^ doubled(rotated(key, position + size - step));
  const auto pattern = doubled(word);
  std::uint64_t seen = last;
  const auto apply_to_word = [&](std::size_t i) {
    const auto plain = load(at + i) ^ pattern;
    store(at + i, plain);
    seen |= plain;
  };
  std::size_t i = 0;
  // The inner loop of fixed length is what the compiler turns into vector instructions.
  for (; i + stride <= size; i += stride)
    for (std::size_t j = 0; j < stride; j += step) apply_to_word(i + j);
  for (; i + step < size; i += step) apply_to_word(i);
  store(at + size - step, last);
  return (seen & 0x8080808080808080u) == 0;
}

}  // namespace roost
