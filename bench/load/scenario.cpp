#include "bench/load/scenario.hpp"
#include "bench/load/engine.hpp"
#include <array>
#include <random>

namespace roost::load {
namespace {

constexpr std::uint64_t second = 1'000'000'000;

/// Moments that come `rate` times a second. What was missed is made up for, and counts from when it
/// was due: otherwise a server that hangs would be asked less and look better than it is.
class pace {
 public:
  void begin(double rate, std::uint64_t now) noexcept {
    interval_ = rate > 0 ? static_cast<double>(second) / rate : 0;
    began_ = now;
    done_ = 0;
  }
  std::uint64_t due() const noexcept {
    if (interval_ == 0) return never;
    return began_ + static_cast<std::uint64_t>(interval_ * static_cast<double>(done_ + 1));
  }
  void advance() noexcept { ++done_; }

 private:
  double interval_ = 0;
  std::uint64_t began_ = 0;
  std::uint64_t done_ = 0;
};

class resting : public scenario {};

class echoing final : public scenario {
 public:
  explicit echoing(const options& options) : payload_(options.payload) {}

  void begin(engine& engine, std::uint64_t now) override {
    for (auto& client : engine.clients())
      if (client.is_joined())
        for (std::uint32_t i = 0; i < engine.options().window; ++i) send(engine, client, now);
  }
  void on_reply(engine& engine, client& client, std::uint64_t, std::uint64_t now) override {
    send(engine, client, now);
  }

 private:
  void send(engine& engine, client& client, std::uint64_t now) {
    engine.ask(client, engine.options().echo_event, payload_.at(now));
  }

  stamped_payload payload_;
};

/// The first client of every topic broadcasts when the last broadcasts have reached everybody.
class fanning_out final : public scenario {
 public:
  explicit fanning_out(const options& options) : payload_(options.payload) {}

  /// Who sleeps on a socket is woken by the sender, at its cost: a quarter of a delivery, or
  /// nothing when the clients are the slower ones and never sleep. Those of other machines cost it
  /// nothing.
  bool sleeps_by_the_clock() const override { return true; }

  void begin(engine& engine, std::uint64_t now) override {
    reached_ = delivered(engine);
    broadcast(engine, now);
  }

  std::uint64_t tick(engine& engine, std::uint64_t now) override {
    if (delivered(engine) >= reached_) {
      broadcast(engine, now);
    } else if (now - began_ > 2 * second) {
      ++engine.counters().stalls;
      reached_ = delivered(engine);
      broadcast(engine, now);
    }
    // What arrives here wakes the loop; what arrives at other processes does not.
    constexpr std::uint64_t glance = 100'000;
    return engine.shared().workers.size() == 1 ? never : now + glance;
  }

 private:
  static std::uint64_t delivered(engine& engine) {
    return engine.shared().sum(&worker_state::deliveries);
  }

  void broadcast(engine& engine, std::uint64_t now) {
    auto& options = engine.options();
    began_ = now;
    reached_ += engine.shared().sum(&worker_state::joined) * options.window;
    for (auto& client : engine.clients()) {
      if (client.index >= options.topics) break;
      for (std::uint32_t i = 0; i < options.window; ++i)
        engine.tell(client, options.broadcast_event, payload_.at(now));
    }
  }

  stamped_payload payload_;
  std::uint64_t reached_ = 0;  // deliveries in all that end the round
  std::uint64_t began_ = 0;
};

class broadcasting final : public scenario {
 public:
  explicit broadcasting(const options& options) : payload_(options.payload) {}

  void begin(engine& engine, std::uint64_t now) override {
    bool has_first = !engine.clients().empty() && engine.clients()[0].index == 0;
    pace_.begin(has_first ? engine.options().rate : 0, now);
  }
  std::uint64_t tick(engine& engine, std::uint64_t now) override {
    for (; pace_.due() <= now; pace_.advance())
      engine.tell(engine.clients()[0], engine.options().broadcast_event, payload_.at(pace_.due()));
    return pace_.due();
  }

 private:
  stamped_payload payload_;
  pace pace_;
};

/// Those who stay ask 100 times a second each, before and while the herd comes back.
class staying final : public scenario {
 public:
  explicit staying(const options& options) : payload_(options.payload) {}

  void begin(engine& engine, std::uint64_t now) override {
    for (auto& client : engine.clients())
      if (client.index < steady_clients) ++steady_;
    pace_.begin(100.0 * static_cast<double>(steady_), now);
  }
  std::uint64_t tick(engine& engine, std::uint64_t now) override {
    for (; pace_.due() <= now; pace_.advance()) {
      auto& client = engine.clients()[next_++ % steady_];
      if (client.is_joined())
        engine.ask(client, engine.options().echo_event, payload_.at(pace_.due()));
    }
    return pace_.due();
  }

 private:
  stamped_payload payload_;
  pace pace_;
  std::size_t steady_ = 0;
  std::size_t next_ = 0;
};

/// Operations in proportion, of clients by chance. With `crashes`, every hundredth client does
/// nothing but crash its channel, so that all others must get every reply.
class mixing final : public scenario {
 public:
  mixing(const options& options, bool crashes)
      : payload_(options.payload),
        crashes_(crashes),
        choice_{
            static_cast<double>(options.echoes), static_cast<double>(options.broadcasts),
            static_cast<double>(options.joins), static_cast<double>(options.leaves),
            static_cast<double>(options.presences)} {}

  void begin(engine& engine, std::uint64_t now) override {
    auto part = static_cast<double>(engine.shared().workers.size());
    pace_.begin(engine.options().rate / part, now);
    crash_pace_.begin(crashes_ ? engine.options().crash_rate / part : 0, now);
    source_.seed(engine.clients().empty() ? 0 : engine.clients()[0].index);
  }

  std::uint64_t tick(engine& engine, std::uint64_t now) override {
    if (engine.clients().empty()) return never;
    for (; pace_.due() <= now; pace_.advance()) operate(engine, pace_.due());
    for (; crash_pace_.due() <= now; crash_pace_.advance()) crash(engine);
    return std::min(pace_.due(), crash_pace_.due());
  }

 private:
  enum operation { echo, broadcast, join, leave, presence };
  static constexpr std::uint32_t one_in = 100;

  bool is_crasher(const client& client) const noexcept {
    return crashes_ && client.index % one_in == 0;
  }

  void operate(engine& engine, std::uint64_t due) {
    auto& options = engine.options();
    auto clients = engine.clients();
    auto& client = clients[source_() % clients.size()];
    if (!client.is_joined() || is_crasher(client)) return;
    switch (static_cast<operation>(choice_(source_))) {
      case echo:
        return engine.ask(client, options.echo_event, payload_.at(due));
      case broadcast:
        return engine.tell(client, options.broadcast_event, payload_.at(due));
      case presence:
        return engine.ask(client, options.presence_event, payload_.at(due));
      case join:
        if (!client.has_second) change_second(engine, client, "phx_join");
        return;
      case leave:
        if (client.has_second) change_second(engine, client, "phx_leave");
        return;
    }
  }

  /// Topics that are shared by few.
  void change_second(engine& engine, client& client, std::string_view event) {
    client.has_second = !client.has_second;
    engine.ask(
        client, {.join_ref = "2",
                 .ref = ++client.last_ref,
                 .topic = engine.options().topic + ":second:" + std::to_string(client.index / 5),
                 .event = event});
  }

  void crash(engine& engine) {
    auto clients = engine.clients();
    for (std::size_t tries = 0; tries < clients.size(); ++tries) {
      auto& client = clients[next_to_crash_++ % clients.size()];
      if (client.is_joined() && is_crasher(client))
        return engine.tell(client, engine.options().crash_event, "{}");
    }
  }

  stamped_payload payload_;
  bool crashes_;
  pace pace_;
  pace crash_pace_;
  std::size_t next_to_crash_ = 0;
  std::mt19937 source_;
  std::discrete_distribution<int> choice_;
};

}  // namespace

std::unique_ptr<scenario> make_scenario(const options& options) {
  switch (options.mode) {
    case mode::echo:
      return std::make_unique<echoing>(options);
    case mode::fanout:
      return std::make_unique<fanning_out>(options);
    case mode::latency:
      return std::make_unique<broadcasting>(options);
    case mode::herd:
      return std::make_unique<staying>(options);
    case mode::mixed:
      return std::make_unique<mixing>(options, false);
    case mode::soak:
      return std::make_unique<mixing>(options, true);
    case mode::idle:
    case mode::join:
      return std::make_unique<resting>();
  }
  return nullptr;
}

}  // namespace roost::load
