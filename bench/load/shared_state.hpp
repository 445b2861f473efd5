// private: what the coordinator and the processes that hold the clients tell each other, in memory
// that they share. Each counter has one writer.
#pragma once
#include "bench/load/histogram.hpp"
#include <cstdint>
#include <span>

namespace roost::load {

enum class phase : std::uint32_t {
  waiting,
  connecting,  // until all have joined
  running,     // the mode's own work
  settling,    // nothing more is sent, replies are awaited
  herding,     // all but a few are cut and come back
  leaving,
  finished,
};

class counter {
 public:
  void operator++() noexcept { add(1); }
  void add(std::uint64_t amount) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void subtract(std::uint64_t amount) noexcept { add(~amount + 1); }
  std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Of one process.
struct alignas(64) worker_state {
  // Now.
  counter open;        // sockets, in whatever state
  counter joined;      // clients that have joined their topic
  counter unanswered;  // messages whose reply has not come

  // Ever.
  counter sent;
  counter replies;
  counter deliveries;     // of broadcasts
  counter failures;       // connections that did not come to be
  counter refusals;       // answers to an upgrade other than 101
  counter lost;           // joined clients whose connection ended
  counter lost_replies;   // replies that were lost with their connections
  counter error_replies;  // status other than "ok"
  counter crashes;        // phx_error
  counter stalls;         // broadcasts that did not reach everybody within two seconds
  counter broken;         // messages that are none

  shared_histogram joining;  // from connect() to the answer to phx_join
  shared_histogram replying;
  shared_histogram delivering;
  shared_histogram beside;  // replies to those who stay while the herd comes back
};

struct shared_state {
  std::atomic<load::phase> phase{phase::waiting};
  std::span<worker_state> workers;  // at the same address in every process

  std::uint64_t sum(counter worker_state::*which) const noexcept {
    std::uint64_t sum = 0;
    for (auto& worker : workers) sum += (worker.*which).get();
    return sum;
  }
  histogram sum(shared_histogram worker_state::*which) const {
    histogram sum;
    for (auto& worker : workers) sum.add((worker.*which).snapshot());
    return sum;
  }
};

}  // namespace roost::load
