// Answers a client's event after a while, from a process that is no channel.
#pragma once
#include "channels/channel.hpp"
#include <chrono>

namespace conformance {

struct late_reply {
  using messages = roost::messages<>;

  roost::socket_ref ref;
  roost::reply_with answer;

  static roost::init_result<late_reply> init(
      roost::socket_ref ref, roost::reply_with answer, std::chrono::milliseconds delay) {
    return {late_reply{std::move(ref), std::move(answer)}, delay};
  }

  roost::cast_result handle_info(roost::timeout) {
    roost::reply(ref, std::move(answer));
    return roost::stop(roost::exit_reason::normal);
  }
};

inline void reply_after(
    std::chrono::milliseconds delay, const roost::socket_ref& ref, roost::reply_with answer) {
  roost::start<late_reply>(ref, std::move(answer), delay);
}

}  // namespace conformance
