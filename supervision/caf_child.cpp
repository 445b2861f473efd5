#include "supervision/caf_child.hpp"
#include "runtime/caf.hpp"

namespace roost {
namespace {

class caf_child_process final : public detail::behavior {
 public:
  explicit caf_child_process(std::function<caf::actor(caf::actor_system&)> start)
      : start_(std::move(start)) {}
  /// Also when we are killed. A link would not do: CAF takes it back when the actor gets our exit.
  ~caf_child_process() override {
    if (actor_) roost::exit(actor_, exit_reason::kill);
  }

  std::string_view initial_call() const noexcept override { return "roost::caf_child"; }

  detail::init_outcome init() override {
    trap_exit(true);
    actor_ = start_(caf_system());
    if (!actor_)
      return {
          detail::init_status::stop,
          exit_reason("expected the function of a caf_child to start an actor, got none")};
    monitor(actor_);
    return {};
  }

  void handle(detail::message& message) override {
    if (auto* gone = detail::value_of<down>(message)) {
      actor_ = {};
      detail::stop_self(stopping_ ? *stopping_ : gone->reason);
    }
    auto* exit = detail::value_of<exited>(message);
    if (exit != nullptr && exit->reason != exit_reason::normal) stop(exit->reason);
  }

  void stop(const exit_reason& reason) override {
    if (!stopping_) roost::exit(actor_, reason);
    stopping_ = reason;
  }

  std::string state_text() const override { return to_string(actor_); }

 private:
  std::function<caf::actor(caf::actor_system&)> start_;
  caf::actor actor_;
  std::optional<exit_reason> stopping_;  // why, once the actor has been told
};

}  // namespace

child_spec caf_child(std::string id, std::function<caf::actor(caf::actor_system&)> start) {
  return {
      .id = std::move(id),
      .start = detail::starter(
          [start = std::move(start)] { return std::make_unique<caf_child_process>(start); },
          process_name{})};
}

}  // namespace roost
