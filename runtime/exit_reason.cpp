#include "runtime/exit_reason.hpp"
#include "runtime/codec.hpp"
#include <array>

namespace roost {

struct exit_reason::detail {
  std::string term;
  std::string type;
  std::string where;
};

exit_reason::exit_reason(std::string_view text)
    : code_(code::custom), detail_(std::make_shared<detail>(detail{std::string(text), {}, {}})) {}

exit_reason exit_reason::shutdown_with(std::string_view term) {
  exit_reason reason{code::shutdown};
  reason.detail_ = std::make_shared<detail>(detail{std::string(term), {}, {}});
  return reason;
}

exit_reason exit_reason::error(
    std::string_view type, std::string_view what, std::string_view where) {
  exit_reason reason{code::error};
  reason.detail_ =
      std::make_shared<detail>(detail{std::string(what), std::string(type), std::string(where)});
  return reason;
}

std::string_view exit_reason::term() const noexcept {
  return detail_ && code_ != code::error ? std::string_view(detail_->term) : std::string_view();
}

std::string_view exit_reason::type() const noexcept {
  return detail_ ? std::string_view(detail_->type) : std::string_view();
}

std::string_view exit_reason::what() const noexcept {
  return detail_ && code_ == code::error ? std::string_view(detail_->term) : std::string_view();
}

std::string_view exit_reason::where() const noexcept {
  return detail_ ? std::string_view(detail_->where) : std::string_view();
}

std::string exit_reason::to_string() const {
  switch (code_) {
    case code::normal:
      return "normal";
    case code::shutdown:
      return detail_ ? "{shutdown, " + detail_->term + "}" : std::string("shutdown");
    case code::kill:
      return "kill";
    case code::killed:
      return "killed";
    case code::noproc:
      return "noproc";
    case code::noconnection:
      return "noconnection";
    case code::timeout:
      return "timeout";
    case code::error: {
      auto text = "{error, " + std::string(type()) + ", \"" + std::string(what()) + "\"";
      if (!where().empty()) text.append(", ").append(where());
      return text + "}";
    }
    case code::custom:
      return std::string(term());  // empty when it was moved from
  }
  return "unknown";
}

bool operator==(const exit_reason& a, const exit_reason& b) noexcept {
  if (a.code_ != b.code_) return false;
  if (a.detail_ == b.detail_) return true;
  return a.term() == b.term() && a.what() == b.what() && a.type() == b.type();
}

void wire_encode(roost::detail::wire_writer& out, const exit_reason& reason) {
  out.byte(static_cast<std::uint8_t>(reason.code_));
  if (!reason.detail_) return out.byte(0);
  const auto& [term, type, where] = *reason.detail_;
  if (reason.code_ != exit_reason::code::error) {
    out.byte(1);
    return out.text(term);
  }
  out.byte(3);
  out.text(type);
  out.text(term);
  out.text(where);
}

void wire_decode(roost::detail::wire_reader& in, exit_reason& reason) {
  auto code = in.byte();
  std::array<std::string_view, 3> texts{};
  auto count = in.count(0);
  for (std::size_t i = 0; i < count; ++i) {
    auto text = in.text();
    if (i < texts.size()) texts[i] = text;  // those of a newer version are left out
  }
  auto known = code <= static_cast<std::uint8_t>(exit_reason::code::custom)
                   ? static_cast<exit_reason::code>(code)
                   : exit_reason::code::custom;
  if (known == exit_reason::code::error)
    reason = exit_reason::error(texts[0], texts[1], texts[2]);
  else if (known == exit_reason::code::shutdown && count != 0)
    reason = exit_reason::shutdown_with(texts[0]);
  else if (known == exit_reason::code::custom)
    reason = exit_reason(texts[0]);
  else
    reason = exit_reason(known);
}

}  // namespace roost
