#include "runtime/caf_system.hpp"
#include "runtime/scheduler.hpp"
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/make_actor.hpp>
#include <caf/monitorable_actor.hpp>
#include <caf/policy/unprofiled.hpp>
#include <caf/resumable.hpp>
#include <caf/scheduler/coordinator.hpp>
#include <caf/sec.hpp>

namespace roost::detail {
namespace {

caf::actor_system* the_system = nullptr;

// --- the scheduler module ------------------------------------------------------------------------

/// CAF owns the threads; each runs the loop of one of our workers, which hands control back only for
/// CAF's own actors.
struct worker_policy : caf::policy::unprofiled {
  struct coordinator_data {
    explicit coordinator_data(caf::scheduler::abstract_coordinator*) {}
    std::unique_ptr<detail::scheduler> workers;  // made when CAF knows how many threads there will be
  };
  struct worker_data {
    explicit worker_data(caf::scheduler::abstract_coordinator*) {}
  };

  template <class Coordinator>
  void central_enqueue(Coordinator* self, caf::resumable* job) {
    d(self).workers->pick().enqueue_foreign(job);
  }
  template <class Worker>
  void external_enqueue(Worker* self, caf::resumable* job) {
    scheduler::instance()->at(self->id()).enqueue_foreign(job);
  }
  template <class Worker>
  void internal_enqueue(Worker* self, caf::resumable* job) {
    external_enqueue(self, job);
  }
  template <class Worker>
  void resume_job_later(Worker* self, caf::resumable* job) {
    external_enqueue(self, job);
  }
  template <class Worker>
  caf::resumable* dequeue(Worker* self) {
    return static_cast<caf::resumable*>(scheduler::instance()->at(self->id()).next_foreign_job());
  }
  template <class Worker, class F>
  void foreach_resumable(Worker*, F) {}
  template <class Coordinator, class F>
  void foreach_central_resumable(Coordinator*, F) {}
};

class coordinator final : public caf::scheduler::coordinator<worker_policy> {
 public:
  using super = caf::scheduler::coordinator<worker_policy>;
  using super::super;

  static caf::actor_system::module* make(caf::actor_system& system, caf::detail::type_list<>) {
    return new coordinator(system);
  }

 private:
  void init(caf::actor_system_config& config) override {
    super::init(config);
    data().workers = std::make_unique<detail::scheduler>(num_workers());
  }
};

struct config : caf::actor_system_config {
  explicit config(std::size_t workers) {
    set("scheduler.max-threads", workers);
    set("scheduler.max-throughput", std::size_t{64});
    set("logger.console", caf::atom("none"));
    load<coordinator>();
  }
};

// --- the actor -----------------------------------------------------------------------------------

/// A roost process as CAF sees it: an actor that can be sent to, monitored and linked. Nothing on the
/// path of a roost message touches this part.
class process_actor final : public caf::monitorable_actor, public process {
 public:
  process_actor(caf::actor_config& config, slot& slot)
      : caf::monitorable_actor(config), process(slot) {}

  using caf::abstract_actor::enqueue;

  void enqueue(caf::mailbox_element_ptr element, caf::execution_unit*) override;
  const char* name() const override { return "roost.process"; }

  void end(const exit_reason& reason) {
    auto code = reason.is_orderly() ? caf::error{}
                                    : caf::make_error(caf::sec::runtime_error, reason.to_string());
    if (reason.kind() == exit_reason::code::shutdown) code = caf::exit_reason::user_shutdown;
    cleanup(std::move(code), nullptr);
  }
};

}  // namespace

/// A message of a CAF actor on its way through our mailbox.
struct foreign_mail {
  caf::mailbox_element_ptr element;
};

namespace {

void process_actor::enqueue(caf::mailbox_element_ptr element, caf::execution_unit*) {
  auto message = make_message<foreign_mail>(message_kind::foreign, std::move(element));
  deliver(process::id, std::move(message));
}

}  // namespace

std::size_t process_size() noexcept { return sizeof(caf::actor_storage<process_actor>); }

process* make_process(slot& slot) {
  caf::actor_config config;
  config.flags = caf::abstract_channel::is_hidden_flag;
  auto id = slot.id.load(std::memory_order_relaxed);
  auto handle = caf::make_actor<process_actor, caf::strong_actor_ptr>(id, the_system->node(),
                                                                       the_system, config, slot);
  auto* actor = static_cast<process_actor*>(handle->get());
  (void)handle.release();  // the process table's reference, given back by destroy_process
  return actor;
}

void destroy_process(process* process, const exit_reason& reason) noexcept {
  auto* actor = static_cast<process_actor*>(process);
  actor->end(reason);
  caf::intrusive_ptr_release(actor->ctrl());
}

struct caf_system::state {
  explicit state(std::size_t workers) : config(workers), system(config) {
    system.await_actors_before_shutdown(false);
    the_system = &system;
  }
  ~state() { the_system = nullptr; }

  struct config config;
  caf::actor_system system;
};

caf_system::caf_system(std::size_t workers) : state_(std::make_unique<state>(workers)) {}
caf_system::~caf_system() = default;

}  // namespace roost::detail
