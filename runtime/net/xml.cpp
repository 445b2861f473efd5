#include "runtime/net/xml.hpp"
#include <algorithm>
#include <charconv>
#include <vector>

namespace roost::net {
namespace {

constexpr std::size_t most_depth = 64;
constexpr std::size_t longest_name = 256;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool ends_name(char c) { return is_blank(c) || c == '/' || c == '>' || c == '<' || c == '='; }

void append_utf8(std::string& text, unsigned code) {
  auto put = [&](unsigned byte) { text += static_cast<char>(byte); };
  auto put_rest = [&](int bits) { put(0x80 | ((code >> bits) & 0x3f)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | (code >> 6));
  } else if (code < 0x10000) {
    put(0xe0 | (code >> 12));
    put_rest(6);
  } else {
    put(0xf0 | (code >> 18));
    put_rest(12);
    put_rest(6);
  }
  put_rest(0);
}

class reader {
 public:
  using callback = std::function<void(std::string_view, const std::string&)>;

  reader(std::string_view xml, const callback& take) : rest_(xml), take_(take) {}

  void read() {
    while (!rest_.empty()) {
      if (skips("<?"))
        until("?>");
      else if (skips("<!--"))
        until("-->");
      else if (skips("<![CDATA["))
        add_text(until("]]>"));
      else if (skips("</"))
        close(name());
      else if (skips("<"))
        open(name());
      else
        add_text(unescaped(rest_.substr(0, rest_.find('<'))));
    }
    if (!open_.empty() || !has_root_) fail(open_.empty() ? "a root" : "an end of each element");
  }

 private:
  struct element {
    std::size_t path_size;  // without its name
    std::string text = {};
  };

  bool skips(std::string_view start) {
    if (!rest_.starts_with(start)) return false;
    rest_.remove_prefix(start.size());
    return true;
  }

  std::string_view until(std::string_view end) {
    auto at = rest_.find(end);
    if (at == rest_.npos) fail(std::string(end));
    auto part = rest_.substr(0, at);
    rest_.remove_prefix(at + end.size());
    return part;
  }

  std::string_view name() {
    auto end = static_cast<std::size_t>(
        std::find_if(rest_.begin(), rest_.end(), ends_name) - rest_.begin());
    auto name = rest_.substr(0, end);
    // With ! begins what declares something.
    if (name.empty() || name.size() > longest_name || name[0] == '!')
      fail("the name of an element");
    rest_.remove_prefix(end);
    return name;
  }

  void open(std::string_view name) {
    if (open_.empty() && has_root_) fail("one root");
    if (open_.size() == most_depth) fail("elements nested up to 64 deep");
    has_root_ = true;
    open_.push_back({path_.size()});
    (path_ += path_.empty() ? "" : "/") += name;
    if (skip_attributes()) end_element();
  }

  /// Answers whether the element ends at once.
  bool skip_attributes() {
    while (!rest_.empty()) {
      if (skips(">")) return false;
      if (skips("/>")) return true;
      char c = rest_[0];
      if (c == '<' || c == '/') break;
      rest_.remove_prefix(1);
      if (c == '"' || c == '\'') until({&c, 1});
    }
    fail("the end of a tag");
  }

  void close(std::string_view name) {
    while (!rest_.empty() && is_blank(rest_[0])) rest_.remove_prefix(1);
    if (!skips(">")) fail("the end of a tag");
    if (open_.empty()) fail("no end of an element that has not begun");
    auto own = std::string_view(path_).substr(open_.back().path_size);
    if (own.starts_with('/')) own.remove_prefix(1);
    if (own != name) fail("the end of " + std::string(own));
    end_element();
  }

  void end_element() {
    take_(path_, open_.back().text);
    path_.resize(open_.back().path_size);
    open_.pop_back();
  }

  void add_text(std::string_view text) {
    if (!open_.empty())
      open_.back().text += text;
    else if (!std::all_of(text.begin(), text.end(), is_blank))
      fail("no text outside of elements");
  }

  std::string unescaped(std::string_view text) {
    rest_.remove_prefix(text.size());
    std::string plain;
    while (!text.empty()) {
      auto at = text.find('&');
      plain += text.substr(0, at);
      if (at == text.npos) break;
      text.remove_prefix(at + 1);
      auto end = text.substr(0, 12).find(';');
      if (end == text.npos) fail("the end of an entity");
      append_entity(plain, text.substr(0, end));
      text.remove_prefix(end + 1);
    }
    return plain;
  }

  static void append_entity(std::string& text, std::string_view entity) {
    if (entity == "lt")
      text += '<';
    else if (entity == "gt")
      text += '>';
    else if (entity == "amp")
      text += '&';
    else if (entity == "quot")
      text += '"';
    else if (entity == "apos")
      text += '\'';
    else
      append_utf8(text, number_of(entity));
  }

  static unsigned number_of(std::string_view entity) {
    bool is_hex = entity.starts_with("#x");
    auto digits = entity.substr(std::min(entity.size(), std::size_t{is_hex ? 2U : 1U}));
    unsigned code = 0;
    auto* end = digits.data() + digits.size();
    auto read = std::from_chars(digits.data(), end, code, is_hex ? 16 : 10);
    bool is_character = code != 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    if (!entity.starts_with('#') || read.ec != std::errc() || read.ptr != end || !is_character)
      fail("an entity that is known");
    return code;
  }

  [[noreturn]] static void fail(const std::string& expectation) {
    throw xml_error("expected XML with " + expectation + ", got something else");
  }

  std::string_view rest_;
  const callback& take_;
  std::vector<element> open_;
  std::string path_;
  bool has_root_ = false;
};

}  // namespace

void read_xml(
    std::string_view xml,
    const std::function<void(std::string_view path, const std::string& text)>& take) {
  reader(xml, take).read();
}

}  // namespace roost::net
