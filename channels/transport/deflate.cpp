#include "channels/transport/deflate.hpp"
#include <zlib.h>
#include <array>
#include <charconv>
#include <memory>
#include <new>

namespace roost::detail {
namespace {

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Takes the part before the separator off the front of `rest`.
std::string_view take(std::string_view& rest, char separator) {
  auto end = rest.find(separator);
  auto part = rest.substr(0, end);
  rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  return trimmed(part);
}

std::optional<int> window_of(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  int bits = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), bits);
  bool good = error == std::errc() && end == value.data() + value.size() && bits >= 8 && bits <= 15;
  return good ? std::optional(bits) : std::nullopt;
}

std::optional<deflate_agreement> accept(std::string_view offer) {
  if (take(offer, ';') != "permessage-deflate") return std::nullopt;
  deflate_agreement agreed;
  bool seen_server_bits = false, seen_client_bits = false, seen_server = false, seen_client = false;
  while (!offer.empty()) {
    auto parameter = take(offer, ';');
    auto name = take(parameter, '=');
    auto value = trimmed(parameter);
    bool* seen = name == "server_max_window_bits"       ? &seen_server_bits
                 : name == "client_max_window_bits"     ? &seen_client_bits
                 : name == "server_no_context_takeover" ? &seen_server
                 : name == "client_no_context_takeover" ? &seen_client
                                                        : nullptr;
    // What is unknown, said twice or out of range declines the offer (RFC 7692, 7.1).
    if (seen == nullptr || *seen) return std::nullopt;
    *seen = true;
    if (seen == &seen_server_bits) {
      auto bits = window_of(value);
      // zlib cannot compress with a window of 256 bytes.
      if (!bits || *bits == 8) return std::nullopt;
      agreed.window_bits = *bits;
    } else if (seen == &seen_client_bits) {
      if (!value.empty() && !window_of(value)) return std::nullopt;
    } else if (!value.empty()) {
      return std::nullopt;
    }
  }
  agreed.header = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
  if (seen_server_bits)
    agreed.header += "; server_max_window_bits=" + std::to_string(agreed.window_bits);
  return agreed;
}

// --- zlib ----------------------------------------------------------------------------------------

constexpr std::string_view tail("\0\0\xff\xff", 4);  // of every message, never sent

struct end_deflate {
  void operator()(z_stream* stream) const {
    ::deflateEnd(stream);
    delete stream;
  }
};
struct end_inflate {
  void operator()(z_stream* stream) const {
    ::inflateEnd(stream);
    delete stream;
  }
};

z_stream& compressor(int window_bits) {
  static thread_local std::array<std::unique_ptr<z_stream, end_deflate>, 16> all;
  auto& stream = all[static_cast<std::size_t>(window_bits)];
  if (stream) {
    ::deflateReset(stream.get());
    return *stream;
  }
  auto fresh = std::make_unique<z_stream>();
  // Level 1 takes a third of the time of level 6 and sends little more, as messages are short.
  if (::deflateInit2(fresh.get(), 1, Z_DEFLATED, -window_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  stream.reset(fresh.release());
  return *stream;
}

z_stream& decompressor() {
  static thread_local std::unique_ptr<z_stream, end_inflate> stream;
  if (stream) {
    ::inflateReset(stream.get());
    return *stream;
  }
  auto fresh = std::make_unique<z_stream>();
  if (::inflateInit2(fresh.get(), -15) != Z_OK) throw std::bad_alloc();
  stream.reset(fresh.release());
  return *stream;
}

Bytef* bytes_of(const char* text) { return reinterpret_cast<Bytef*>(const_cast<char*>(text)); }

}  // namespace

std::optional<deflate_agreement> agree_on_deflate(std::string_view offers) {
  while (!offers.empty())
    if (auto agreed = accept(take(offers, ','))) return agreed;
  return std::nullopt;
}

void deflate_message(std::string_view message, int window_bits, std::string& out) {
  auto& stream = compressor(window_bits);
  stream.next_in = bytes_of(message.data());
  stream.avail_in = static_cast<uInt>(message.size());
  std::size_t room = ::deflateBound(&stream, static_cast<uLong>(message.size())) + 16;
  auto before = out.size();
  out.resize(before + room);
  stream.next_out = bytes_of(out.data() + before);
  stream.avail_out = static_cast<uInt>(room);
  ::deflate(&stream, Z_SYNC_FLUSH);
  out.resize(before + room - stream.avail_out);
  if (out.ends_with(tail)) out.resize(out.size() - tail.size());
}

inflated inflate_message(std::string_view compressed, std::size_t most, std::string& out) {
  auto& stream = decompressor();
  std::array<char, 16 * 1024> buffer;
  auto before = out.size();
  for (auto part : {compressed, tail}) {
    stream.next_in = bytes_of(part.data());
    stream.avail_in = static_cast<uInt>(part.size());
    for (;;) {
      stream.next_out = bytes_of(buffer.data());
      stream.avail_out = buffer.size();
      int result = ::inflate(&stream, Z_SYNC_FLUSH);
      auto got = buffer.size() - stream.avail_out;
      if (out.size() - before + got > most) return inflated::too_big;
      out.append(buffer.data(), got);
      // A block that says it is the last one need not be (RFC 7692, 7.2.3.4).
      if (result == Z_STREAM_END) {
        ::inflateReset(&stream);
        if (stream.avail_in > 0) continue;
        break;
      }
      if (result != Z_OK && result != Z_BUF_ERROR) return inflated::malformed;
      if (stream.avail_out > 0) break;
    }
    if (stream.avail_in > 0) return inflated::malformed;
  }
  return inflated::ok;
}

}  // namespace roost::detail
