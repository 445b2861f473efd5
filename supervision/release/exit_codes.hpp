// supervision/release/exit_codes.hpp — private.
//
// What the exit codes of a program mean; users read them in docs/releases.md.
#pragma once

namespace roost::detail::exit_code {

constexpr int in_order = 0;     // stopped in order; a command that was carried out
constexpr int failed = 1;       // ended by itself or did not start; nobody answered a command
constexpr int wrong_usage = 2;  // of the command line or the configuration
constexpr int cut_short = 3;    // ended before everything had stopped in order
constexpr int running = 4;      // another node of this name runs
constexpr int given_up = 5;     // by heart: it died too often

/// Whether another try would end just so.
constexpr bool is_final(int code) {
  return code == in_order || code == wrong_usage || code == running;
}

}  // namespace roost::detail::exit_code
