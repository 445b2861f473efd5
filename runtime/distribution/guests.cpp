#include "runtime/distribution/guests.hpp"

namespace roost::detail {

bool guest_may_send(const incoming_signal& signal) noexcept {
  switch (signal.kind) {
    case message_kind::call:
    case message_kind::call_done:
    case message_kind::monitor:
    case message_kind::demonitor:
      return signal.name == console_name || (signal.to && signal.to == whereis(console_name));
    default:
      return false;
  }
}

}  // namespace roost::detail
