// private: when a client tries again. Pure: the caller brings the random number.
//
//   auto delay = jittered(reconnect_delay(tries), 0.5, random());   // random() in [0, 1)
//
// phoenix.js waits the same delays without jitter, so all the clients of a server that has gone
// come back at the same moment, again and again. Here each waits a share more or less; on average
// it is the same.
//
// Source: reconnectAfterMs and rejoinAfterMs in assets/js/phoenix/socket.js.
#pragma once
#include <chrono>

namespace roost::detail {

/// Before the try of this number, from 1, to connect: 10 ms to 5 s.
std::chrono::milliseconds reconnect_delay(unsigned tries) noexcept;

/// … to join: 1 s to 10 s.
std::chrono::milliseconds rejoin_delay(unsigned tries) noexcept;

/// Between delay × (1 - share) and delay × (1 + share); `share` and `random` from 0 to 1.
std::chrono::milliseconds jittered(
    std::chrono::milliseconds delay, double share, double random) noexcept;

/// When the server has said how long to stay away: that long and never less, and up to `share` of
/// it (of 1 s at least) more, for it has told the others the same. At most an hour: nobody knows
/// what a server means by more.
std::chrono::milliseconds retry_delay(
    std::chrono::milliseconds asked, double share, double random) noexcept;

}  // namespace roost::detail
