#include "runtime/exit_reason.hpp"

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

}  // namespace roost
