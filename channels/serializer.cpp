#include "channels/serializer.hpp"
#include "channels/json_scanner.hpp"
#include <algorithm>
#include <array>
#include <memory>

namespace roost {
namespace {

constexpr std::string_view null_ref = "null";

malformed broken(const json_scanner& in) { return {in.reason(), in.offset()}; }

// A JSON value that should be a string, and whether it has escapes.
struct scanned_name {
  std::string_view json;
  bool escaped = false;

  bool is_string() const { return json.front() == '"'; }
  std::string_view inside() const { return json.substr(1, json.size() - 2); }
};

bool scan_name(json_scanner& in, scanned_name& name) {
  if (!in.value(name.json)) return false;
  name.escaped = in.escaped();
  return true;
}

std::string_view read_name(const scanned_name& name, std::string& scratch) {
  if (!name.is_string()) return name.json;
  if (!name.escaped) return name.inside();
  const std::size_t start = scratch.size();
  append_unescaped(scratch, name.inside());
  return std::string_view(scratch).substr(start);
}

void set_names(incoming& message, const scanned_name& topic, const scanned_name& event) {
  message.scratch.clear();
  // Escapes only shrink, so the views into scratch survive the second append.
  if (topic.escaped || event.escaped)
    message.scratch.reserve(topic.json.size() + event.json.size());
  message.topic_json = topic.json;
  message.topic_name = read_name(topic, message.scratch);
  message.topic_is_string = topic.is_string();
  message.event = read_name(event, message.scratch);
  message.event_is_string = event.is_string();
}

bool scan_v2_elements(
    json_scanner& in, incoming& message, scanned_name& topic, scanned_name& event) {
  return in.open('[') && in.value(message.join_ref) && in.comma() && in.value(message.ref) &&
         in.comma() && scan_name(in, topic) && in.comma() && scan_name(in, event) && in.comma() &&
         in.value(message.payload_data);
}

// Phoenix ignores what comes after the fifth element.
bool skip_more_elements(json_scanner& in) {
  std::string_view ignored;
  while (in.take(','))
    if (!in.value(ignored)) return false;
  return in.close(']') && in.finish();
}

struct v1_fields {
  std::string_view join_ref = null_ref, ref, payload;
  scanned_name topic, event;

  bool complete() const {
    return !topic.json.empty() && !event.json.empty() && !payload.empty() && !ref.empty();
  }
};

// A key may come twice; the last one counts.
bool scan_v1_member(json_scanner& in, v1_fields& fields) {
  scanned_name key;
  if (!in.key(key.json)) return false;
  key.escaped = in.escaped();
  std::string scratch;  // not touched by keys without escapes
  const std::string_view name = read_name(key, scratch);
  if (name == "topic") return scan_name(in, fields.topic);
  if (name == "event") return scan_name(in, fields.event);
  if (name == "payload") return in.value(fields.payload);
  if (name == "ref") return in.value(fields.ref);
  if (name == "join_ref") return in.value(fields.join_ref);
  std::string_view ignored;
  return in.value(ignored);
}

bool scan_v1_members(json_scanner& in, v1_fields& fields) {
  if (!in.open('{')) return false;
  do {
    if (!scan_v1_member(in, fields)) return false;
  } while (in.take(','));
  return in.close('}') && in.finish();
}

// The bytes of a binary frame, taken one string after another.
class binary_reader {
 public:
  explicit binary_reader(std::string_view rest) : rest_(rest) {}

  std::string_view take(unsigned char length) {
    const std::string_view text = rest_.substr(0, length);
    rest_.remove_prefix(text.size());
    return text;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// The references of a binary frame as JSON strings, as the rest of the server knows them.
bool set_binary_refs(incoming& message, std::string_view join_ref, std::string_view ref) {
  constexpr std::size_t longest_escape = 6;
  std::string& scratch = message.scratch;
  scratch.clear();
  scratch.reserve(longest_escape * (join_ref.size() + ref.size()) + 4);
  if (!append_quoted(scratch, join_ref)) return false;
  const std::size_t middle = scratch.size();
  if (!append_quoted(scratch, ref)) return false;
  message.join_ref = std::string_view(scratch).substr(0, middle);
  message.ref = std::string_view(scratch).substr(middle);
  return true;
}

struct envelope {
  std::string_view join_ref;
  std::string_view ref;
  const wire_topic& topic;
  std::string_view event;
};

// The part of a text frame before the payload. How long it can get is known from the start, so it
// is put together without looking at capacities, and on the stack unless a reference is very long.
class text_head {
 public:
  explicit text_head(std::size_t bound) {
    if (bound <= sizeof small_) return;
    large_ = std::make_unique_for_overwrite<char[]>(bound);
    at_ = begin_ = large_.get();
  }

  text_head& add(std::string_view text) {
    at_ = std::ranges::copy(text, at_).out;
    return *this;
  }

  text_head& add_quoted(std::string_view text) {
    char* past = write_quoted(at_, text);
    good_ = good_ && past != nullptr;
    if (past != nullptr) at_ = past;
    return *this;
  }

  text_head& add_topic(const wire_topic& topic) {
    return topic.json.empty() ? add_quoted(topic.name) : add(topic.json);
  }

  bool good() const { return good_; }  // every name was UTF-8
  std::string_view text() const { return {begin_, at_}; }

 private:
  char small_[512];
  std::unique_ptr<char[]> large_;
  char* begin_ = small_;
  char* at_ = small_;
  bool good_ = true;
};

std::size_t head_bound(const envelope& envelope, std::string_view status) {
  constexpr std::size_t punctuation = 80;  // the longest is 63 bytes, of a reply in protocol 1
  return punctuation + envelope.join_ref.size() + envelope.ref.size() + envelope.topic.json.size() +
         quoted_bound(envelope.topic.name) + quoted_bound(envelope.event) + quoted_bound(status);
}

void add_envelope(protocol protocol, text_head& head, const envelope& envelope) {
  const auto& [join_ref, ref, topic, event] = envelope;
  if (protocol == protocol::v2)
    head.add("[")
        .add(join_ref)
        .add(",")
        .add(ref)
        .add(",")
        .add_topic(topic)
        .add(",")
        .add_quoted(event)
        .add(",");
  else
    head.add("{\"ref\":")
        .add(ref)
        .add(",\"topic\":")
        .add_topic(topic)
        .add(",\"event\":")
        .add_quoted(event)
        .add(",\"payload\":");
}

encoded append_frame(
    std::string& out, const text_head& head, const payload& payload, std::string_view tail) {
  if (!head.good() || payload.is_binary()) return encoded::impossible;
  out.reserve(out.size() + head.text().size() + payload.text().size() + tail.size());
  out.append(head.text()).append(payload.text()).append(tail);
  return encoded::text;
}

encoded append_text(
    protocol protocol, std::string& out, const envelope& envelope, const payload& payload) {
  text_head head(head_bound(envelope, {}));
  add_envelope(protocol, head, envelope);
  return append_frame(out, head, payload, protocol == protocol::v1 ? "}" : "]");
}

encoded append_text_reply(
    protocol protocol, std::string& out, const envelope& envelope, std::string_view status,
    const payload& response) {
  text_head head(head_bound(envelope, status));
  add_envelope(protocol, head, envelope);
  head.add("{\"status\":").add_quoted(status).add(",\"response\":");
  return append_frame(out, head, response, protocol == protocol::v1 ? "}}" : "}]");
}

// One binary frame at the end of a string: the kind, `names` lengths, then the names as they are
// added, then the payload. A name that is too long takes the whole frame back.
class binary_writer {
 public:
  binary_writer(std::string& out, char kind, std::size_t names)
      : out_(out), start_(out.size()), length_(start_ + 1) {
    out_ += kind;
    out_.append(names, '\0');
  }

  void add(std::string_view name) {
    add_with([&] { out_ += name; });
  }

  // Null has no bytes; a reference that is no string travels as its JSON text.
  void add_reference(std::string_view json) {
    add_with([&] {
      if (json.front() == '"')
        append_unescaped(out_, json.substr(1, json.size() - 2));
      else if (json != null_ref)
        out_ += json;
    });
  }

  encoded finish(const payload& payload) {
    if (fits_) {
      out_ += payload.contents();
      return encoded::binary;
    }
    out_.resize(start_);
    return encoded::impossible;
  }

 private:
  template <class Append>
  void add_with(Append append) {
    const std::size_t before = out_.size();
    append();
    const std::size_t length = out_.size() - before;
    fits_ = fits_ && length <= 255;
    out_[length_++] = static_cast<char>(length);
  }

  std::string& out_;
  std::size_t start_;
  std::size_t length_;  // where the next name's length goes
  bool fits_ = true;
};

enum binary_kind : char { binary_push = 0, binary_reply = 1, binary_broadcast = 2 };

bool goes_as_binary(protocol protocol, const payload& payload) {
  return payload.is_binary() && protocol == protocol::v2;
}

bool is_patch_number(std::string_view text) {
  const bool digits = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  return digits && !text.empty() && (text.size() == 1 || text.front() != '0');
}

}  // namespace

std::optional<protocol> choose_protocol(std::optional<std::string_view> vsn) {
  if (!vsn) return protocol::v1;
  const bool first = vsn->starts_with("1.0."), second = vsn->starts_with("2.0.");
  if ((!first && !second) || !is_patch_number(vsn->substr(4))) return std::nullopt;
  return first ? protocol::v1 : protocol::v2;
}

std::optional<malformed> decode_v2_text(
    std::string_view frame, incoming& message, std::size_t max_depth) {
  json_scanner in(frame, max_depth);
  scanned_name topic, event;
  if (!scan_v2_elements(in, message, topic, event) || !skip_more_elements(in)) return broken(in);
  set_names(message, topic, event);
  message.binary = false;
  return std::nullopt;
}

std::optional<malformed> decode_v1_text(
    std::string_view frame, incoming& message, std::size_t max_depth) {
  json_scanner in(frame, max_depth);
  v1_fields fields;
  if (!scan_v1_members(in, fields)) return broken(in);
  if (!fields.complete())
    return malformed{"expected keys topic, event, payload and ref", frame.size()};
  set_names(message, fields.topic, fields.event);
  message.join_ref = fields.join_ref;
  message.ref = fields.ref;
  message.payload_data = fields.payload;
  message.binary = false;
  return std::nullopt;
}

std::optional<malformed> decode_text(
    protocol protocol, std::string_view frame, incoming& message, std::size_t max_depth) {
  return protocol == protocol::v1 ? decode_v1_text(frame, message, max_depth)
                                  : decode_v2_text(frame, message, max_depth);
}

std::optional<malformed> decode_v2_binary(std::string_view frame, incoming& message) {
  constexpr std::size_t names = 4, header = 1 + names;
  if (frame.empty() || frame[0] != binary_push) return malformed{"expected a push", 0};
  if (frame.size() < header) return malformed{"expected four lengths", frame.size()};
  binary_reader in(frame.substr(header));
  std::array<std::string_view, names> name;
  std::size_t expected = header;
  for (std::size_t i = 0; i < names; ++i) {
    const auto length = static_cast<unsigned char>(frame[1 + i]);
    expected += length;
    name[i] = in.take(length);
  }
  if (frame.size() < expected) return malformed{"expected more bytes", frame.size()};
  const auto& [join_ref, ref, topic, event] = name;
  if (!set_binary_refs(message, join_ref, ref) || !is_utf8(topic) || !is_utf8(event))
    return malformed{"expected names in UTF-8", header};
  message.topic_name = topic;
  message.topic_json = {};
  message.event = event;
  message.payload_data = in.rest();
  message.topic_is_string = message.event_is_string = message.binary = true;
  return std::nullopt;
}

std::optional<malformed> decode_binary(
    protocol protocol, std::string_view frame, incoming& message) {
  if (protocol == protocol::v1) return malformed{"expected text frames in protocol 1", 0};
  return decode_v2_binary(frame, message);
}

encoded encode_reply(
    protocol protocol, std::string& out, std::string_view join_ref, std::string_view ref,
    wire_topic topic, std::string_view status, const payload& response) {
  if (goes_as_binary(protocol, response)) {
    binary_writer frame(out, binary_reply, 4);
    frame.add_reference(join_ref);
    frame.add_reference(ref);
    frame.add(topic.name);
    frame.add(status);
    return frame.finish(response);
  }
  return append_text_reply(protocol, out, {join_ref, ref, topic, "phx_reply"}, status, response);
}

encoded encode_push(
    protocol protocol, std::string& out, std::string_view join_ref, wire_topic topic,
    std::string_view event, const payload& payload) {
  if (goes_as_binary(protocol, payload)) {
    binary_writer frame(out, binary_push, 3);
    frame.add_reference(join_ref);
    frame.add(topic.name);
    frame.add(event);
    return frame.finish(payload);
  }
  return append_text(protocol, out, {join_ref, null_ref, topic, event}, payload);
}

encoded encode_broadcast(
    protocol protocol, std::string& out, wire_topic topic, std::string_view event,
    const payload& payload) {
  if (goes_as_binary(protocol, payload)) {
    binary_writer frame(out, binary_broadcast, 2);
    frame.add(topic.name);
    frame.add(event);
    return frame.finish(payload);
  }
  return append_text(protocol, out, {null_ref, null_ref, topic, event}, payload);
}

encoded encode_end(
    protocol protocol, std::string& out, std::string_view join_ref, wire_topic topic,
    std::string_view event) {
  // The join reference stands in both places in protocol 2, in none in protocol 1.
  const std::string_view ref = protocol == protocol::v2 ? join_ref : null_ref;
  return append_text(protocol, out, {join_ref, ref, topic, event}, {});
}

}  // namespace roost
