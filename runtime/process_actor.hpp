// private: a process as CAF sees it: an actor that can be sent to, monitored and linked. Nothing on
// the path of a roost message touches this part.
//
// How the two worlds are tied. What an actor wants to hear of a process hangs on the process's list
// of attachables, as CAF has it, and fires in cleanup(). What a process wants to hear of an actor
// hangs on the actor's list as a `watch`, which turns the actor's end into our signals; the process
// remembers in its foreign_ties where its watches hang, so that none stays behind. A link is both.
#pragma once
#include "runtime/process_core.hpp"
#include <caf/monitorable_actor.hpp>

namespace roost::detail {

class process_actor final : public caf::monitorable_actor, public process {
 public:
  process_actor(caf::actor_config& config, slot& slot)
      : caf::monitorable_actor(config), process(slot) {}

  using caf::abstract_actor::enqueue;

  // Any thread.
  void enqueue(caf::mailbox_element_ptr element, caf::execution_unit*) override;
  const char* name() const override { return "roost.process"; }
  bool add_backlink(caf::abstract_actor* other) override;
  bool remove_backlink(caf::abstract_actor* other) override;

  // The process's own worker.
  void end(const exit_reason& reason);
  void hang_on(const caf::strong_actor_ptr& other);  // our end of a link, for `other` to hear

 private:
  void take_exit(const caf::mailbox_element& element);
  void take_response(caf::mailbox_element& element);
};

static_assert(
    sizeof(process_actor) <= 256, "a process and CAF's control block take 320 bytes, not 384");

/// Names a watch among the attachables of an actor.
struct watch_key {
  static constexpr std::size_t token_type = 0x726F6F7374;  // nobody else's

  std::uint64_t process;
  reference ref;  // of a monitor; none for a link

  friend bool operator==(const watch_key&, const watch_key&) = default;
};

/// The running actor system, or null.
caf::actor_system* running_caf_system() noexcept;

}  // namespace roost::detail
