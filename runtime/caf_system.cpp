#include "runtime/caf_system.hpp"
#include "runtime/process_actor.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/tsan.hpp"
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/make_actor.hpp>
#include <caf/policy/unprofiled.hpp>
#include <caf/resumable.hpp>
#include <caf/scheduler/coordinator.hpp>
#include <optional>
#include <thread>

#if defined(__SANITIZE_THREAD__)
// CAF's reference counts as they are in its library, where the sanitizer does not see them.
namespace caf {

void intrusive_ptr_release(actor_control_block* block) {
  if (block->strong_refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  block->data_dtor(block->get());
  intrusive_ptr_release_weak(block);
}

void intrusive_ptr_release_weak(actor_control_block* block) {
  if (block->weak_refs == 1 || block->weak_refs.fetch_sub(1, std::memory_order_acq_rel) == 1)
    block->block_dtor(block);
}

void ref_counted::deref() const noexcept {
  if (unique())
    request_deletion(false);
  else if (rc_.fetch_sub(1, std::memory_order_acq_rel) == 1)
    request_deletion(true);
}

}  // namespace caf
#endif

namespace roost::detail {
namespace {

caf::actor_system* the_system = nullptr;

// --- the scheduler module ------------------------------------------------------------------------

/// CAF owns the threads; each runs the loop of one of our workers, which hands control back only
/// for CAF's own actors.
struct worker_policy : caf::policy::unprofiled {
  struct coordinator_data {
    explicit coordinator_data(caf::scheduler::abstract_coordinator*) {}
    std::unique_ptr<detail::scheduler>
        workers;  // made when CAF knows how many threads there will be
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
    as_caf_.reset();
    auto* job = scheduler::instance()->at(self->id()).next_foreign_job();
    as_caf_.emplace();  // until it asks for the next one
    return static_cast<caf::resumable*>(job);
  }
  template <class Worker>
  void before_shutdown(Worker*) {
    as_caf_.reset();
  }
  template <class Worker, class F>
  void foreach_resumable(Worker* self, F f) {
    auto& worker = scheduler::instance()->at(self->id());
    while (auto* job = worker.left_over_foreign_job()) f(static_cast<caf::resumable*>(job));
  }
  template <class Coordinator, class F>
  void foreach_central_resumable(Coordinator*, F) {}

 private:
  std::optional<unseen> as_caf_;
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

}  // namespace

caf::actor_system* running_caf_system() noexcept { return the_system; }

// --- the objects of processes --------------------------------------------------------------------

std::size_t process_size() noexcept { return sizeof(caf::actor_storage<process_actor>); }

process* make_process(slot& slot) {
  caf::actor_config config;
  config.flags = caf::abstract_channel::is_hidden_flag;
  auto id = slot.id.load(std::memory_order_relaxed);
  // Without a node: its reference count would be written by every start and end on every worker.
  // And so the number of a process is no number of an actor.
  auto handle = caf::make_actor<process_actor, caf::strong_actor_ptr>(
      id, caf::node_id{}, the_system, config, slot);
  auto* actor = static_cast<process_actor*>(handle->get());
  (void)handle.release();  // the process table's reference, given back by destroy_process
  slot.actor.store(actor, std::memory_order_release);
  return actor;
}

void destroy_process(process* process, const exit_reason& reason) noexcept {
  auto* actor = static_cast<process_actor*>(process);
  auto& home = *process->home;
  home.actor.store(nullptr, std::memory_order_relaxed);
  // to_caf on another thread may have seen us alive, and be about to take its reference.
  while (home.visitors.load(std::memory_order_acquire) != 0) std::this_thread::yield();
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
caf_system::~caf_system() {
  unseen as_caf;
  state_.reset();
}

}  // namespace roost::detail
