#include "runtime/caf.hpp"
#include "runtime/logger.hpp"
#include "runtime/process_actor.hpp"
#include "runtime/scheduler.hpp"
#include <caf/actor_cast.hpp>
#include <caf/attachable.hpp>
#include <caf/default_attachable.hpp>
#include <caf/exit_reason.hpp>
#include <caf/make_actor.hpp>
#include <caf/sec.hpp>
#include <caf/system_messages.hpp>

namespace roost {

using detail::caf_node;
using detail::current_process;
using detail::message_kind;
using detail::process_actor;

// --- exit reasons --------------------------------------------------------------------------------

namespace {

constexpr auto exit_category = caf::atom("exit");
constexpr auto system_category = caf::atom("system");

caf::error with_context(caf::exit_reason code, std::string_view context) {
  return caf::error{
      static_cast<std::uint8_t>(code), exit_category, caf::make_message(std::string(context))};
}

exit_reason from_exit_category(const caf::error& error) {
  switch (static_cast<caf::exit_reason>(error.code())) {
    case caf::exit_reason::normal:
      return exit_reason::normal;
    case caf::exit_reason::user_shutdown:
      return error.context().match_elements<std::string>()
                 ? exit_reason::shutdown_with(error.context().get_as<std::string>(0))
                 : exit_reason::shutdown;
    case caf::exit_reason::kill:
      return exit_reason::killed;
    case caf::exit_reason::unknown:
      return exit_reason::noproc;
    case caf::exit_reason::unreachable:
    case caf::exit_reason::remote_link_unreachable:
      return exit_reason::noconnection;
    default:
      return exit_reason(to_string(error));
  }
}

exit_reason from_runtime_error(const caf::error& error) {
  auto& context = error.context();
  if (context.match_elements<std::string>()) return exit_reason(context.get_as<std::string>(0));
  if (context.match_elements<std::string, std::string, std::string>())
    return exit_reason::error(
        context.get_as<std::string>(0), context.get_as<std::string>(1),
        context.get_as<std::string>(2));
  return exit_reason(to_string(error));
}

}  // namespace

caf::error to_caf(const exit_reason& reason) {
  using code = exit_reason::code;
  switch (reason.kind()) {
    case code::normal:
      return {};
    case code::shutdown:
      return reason.term().empty() ? make_error(caf::exit_reason::user_shutdown)
                                   : with_context(caf::exit_reason::user_shutdown, reason.term());
    case code::kill:
    case code::killed:
      return caf::exit_reason::kill;
    case code::noproc:
      return caf::exit_reason::unknown;
    case code::noconnection:
      return caf::exit_reason::unreachable;
    case code::timeout:
      return caf::sec::request_timeout;
    case code::error:
      return make_error(
          caf::sec::runtime_error, std::string(reason.type()), std::string(reason.what()),
          std::string(reason.where()));
    case code::custom:
      break;
  }
  return make_error(caf::sec::runtime_error, std::string(reason.term()));
}

exit_reason to_exit_reason(const caf::error& error) {
  if (!error) return exit_reason::normal;
  if (error.category() == exit_category) return from_exit_category(error);
  if (error == caf::sec::request_receiver_down) return exit_reason::noproc;
  if (error == caf::sec::request_timeout) return exit_reason::timeout;
  if (error == caf::sec::runtime_error) return from_runtime_error(error);
  return exit_reason(to_string(error));
}

// --- handles -------------------------------------------------------------------------------------

namespace {

process_actor* as_process(caf::actor_control_block* actor) noexcept {
  return actor == nullptr ? nullptr : dynamic_cast<process_actor*>(actor->get());
}

/// The pid that stands for an actor, even if it is a process.
pid stand_in(const caf::actor_control_block* actor) noexcept {
  return pid{actor == nullptr ? 0 : actor->id(), caf_node};
}

/// The pid of an actor or process; "nobody, of CAF" for an anonymous sender. Not pid{}: exits from
/// that are what the parent of a root process sends.
pid pid_of(caf::actor_control_block* actor) noexcept {
  if (auto* process = as_process(actor)) return process->self();
  return stand_in(actor);
}

caf::strong_actor_ptr strong(const caf::actor& actor) {
  return caf::actor_cast<caf::strong_actor_ptr>(actor);
}

process_actor& me(const char* what) {
  auto* process = current_process();
  if (process == nullptr)
    throw std::logic_error(
        std::string("expected ") + what +
        " of an actor to be called in a process, got a thread outside");
  return static_cast<process_actor&>(*process);
}

/// In whose name something is sent.
caf::strong_actor_ptr sender_here() {
  auto* process = static_cast<process_actor*>(current_process());
  return process == nullptr ? nullptr : caf::strong_actor_ptr{process->ctrl()};
}

bool has_ended(const caf::abstract_actor& actor) {
  return actor.getf(caf::abstract_actor::is_terminated_flag);
}

}  // namespace

caf::actor_system& caf_system() {
  auto* system = detail::running_caf_system();
  if (system == nullptr)
    throw std::logic_error(
        "expected a running roost::runtime, got none: write `roost::runtime runtime;` first");
  return *system;
}

pid to_pid(const caf::actor& actor) { return actor ? pid_of(strong(actor).get()) : pid{}; }

caf::actor to_caf(pid process) {
  auto* slot = process.is_local() ? detail::find_slot(process.id) : nullptr;
  if (slot == nullptr) return {};
  // The process may end at any moment. Its last step closes the intake and then waits until there
  // is no visitor: either it sees us, or we see that the intake is closed, since both change the
  // same word.
  slot->visitors.fetch_add(1, std::memory_order_relaxed);
  auto intake = slot->intake.fetch_add(0, std::memory_order_acq_rel);
  caf::strong_actor_ptr handle;
  if ((intake & detail::slot::closed) == 0 &&
      slot->id.load(std::memory_order_acquire) == process.id)
    if (auto* actor = static_cast<process_actor*>(slot->actor.load(std::memory_order_acquire)))
      handle.reset(actor->ctrl());
  slot->visitors.fetch_sub(1, std::memory_order_release);
  return caf::actor_cast<caf::actor>(std::move(handle));
}

namespace detail {

// --- requests to a process -----------------------------------------------------------------------

/// The answer that an actor waits for. The last copy of an unanswered caf_message sends an error.
class caf_promise {
 public:
  caf_promise(process_actor& receiver, caf::mailbox_element& request)
      : receiver_(receiver.ctrl()),
        receiver_pid_(receiver.self()),
        source_(request.sender),
        stages_(std::move(request.stages)),
        id_(request.mid) {}
  caf_promise(const caf_promise&) = delete;
  caf_promise& operator=(const caf_promise&) = delete;
  ~caf_promise() {
    bool ends =
        std::uncaught_exceptions() > 0 || !is_alive(receiver_pid_) || receiver_is_destroyed();
    answer(caf::make_message(
        make_error(ends ? caf::sec::request_receiver_down : caf::sec::unexpected_message)));
  }

  void answer(caf::message content) {
    if (answered_.test_and_set(std::memory_order_acq_rel)) return;
    if (stages_.empty()) {
      source_->enqueue(receiver_, id_.response_id(), std::move(content), nullptr);
      return;
    }
    // A composed actor (f * g): the next one continues with our answer, for the first sender.
    auto next = std::move(stages_.back());
    stages_.pop_back();
    next->get()->enqueue(
        caf::make_mailbox_element(source_, id_, std::move(stages_), std::move(content)), nullptr);
  }

 private:
  /// A process counts as alive until its state is gone, and we may be part of that.
  bool receiver_is_destroyed() const noexcept {
    auto* here = current_process();
    return here != nullptr && here->self() == receiver_pid_ && !here->does;
  }

  caf::strong_actor_ptr receiver_;
  pid receiver_pid_;
  caf::strong_actor_ptr source_;
  caf::mailbox_element::forwarding_stack stages_;
  caf::message_id id_;
  std::atomic_flag answered_;
};

// --- what a process hears of actors --------------------------------------------------------------

namespace {

template <class F>
void run_at_once(std::uint64_t process, F function) {
  deliver(
      process,
      make_message<task>(message_kind::inspect, std::function<void()>(std::move(function))));
}

/// Which actors a process links and monitors. Only the process itself looks at it.
class caf_ties final : public foreign_ties {
 public:
  explicit caf_ties(std::uint64_t process) : process_(process) {}
  ~caf_ties() override {
    linked_.for_each([&](pid, const caf::weak_actor_ptr& actor) { let_go(actor, {}); });
    monitored_.for_each(
        [&](reference ref, const caf::weak_actor_ptr& actor) { let_go(actor, ref); });
  }

  void link(const caf::strong_actor_ptr& actor);
  void unlink(pid actor);
  void monitor(reference ref, const caf::strong_actor_ptr& actor);
  void demonitor(reference ref);

  /// What is left of a tie when the actor has ended.
  void forget_link(pid actor);
  void forget_monitor(reference ref) { monitored_.erase(ref); }

 private:
  void let_go(const caf::weak_actor_ptr& actor, reference ref) const {
    watch_key key{process_, ref};
    if (auto locked = actor.lock()) locked->get()->detach(key);
  }

  std::uint64_t process_;
  compact_map<pid, caf::weak_actor_ptr> linked_;
  compact_map<reference, caf::weak_actor_ptr> monitored_;
};

caf_ties* ties_of(process* process) noexcept {
  return process != nullptr && process->extra
             ? static_cast<caf_ties*>(process->extra->foreign.get())
             : nullptr;
}

caf_ties& make_ties(process& process) {
  auto& place = process.more().foreign;
  if (!place) place = std::make_unique<caf_ties>(process.id);
  return static_cast<caf_ties&>(*place);
}

void signal_exit(std::uint64_t process, pid from, exit_reason reason, bool linked) {
  auto signal = make_message<exit_signal>(message_kind::exit, std::move(reason), linked);
  signal->from = from;
  deliver(process, std::move(signal));
}

void signal_down(std::uint64_t process, reference ref, pid actor, exit_reason reason) {
  auto notice = make_message<down>(message_kind::down, ref, actor, std::move(reason));
  notice->ref = ref;
  notice->from = actor;
  deliver(process, std::move(notice));
}

/// Hangs on an actor and tells a process when it ends.
class watch final : public caf::attachable {
 public:
  watch(watch_key key, pid actor) : key_(key), actor_(actor) {}

  void actor_exited(const caf::error& error, caf::execution_unit*) override {
    auto reason = to_exit_reason(error);
    if (key_.ref) {
      run_at_once(key_.process, [ref = key_.ref] {
        if (auto* ties = ties_of(current_process())) ties->forget_monitor(ref);
      });
      signal_down(key_.process, key_.ref, actor_, std::move(reason));
    } else {
      run_at_once(key_.process, [actor = actor_] {
        if (auto* ties = ties_of(current_process())) ties->forget_link(actor);
      });
      signal_exit(key_.process, actor_, std::move(reason), true);
    }
  }

  bool matches(const token& what) override {
    return what.subtype == watch_key::token_type &&
           *static_cast<const watch_key*>(what.ptr) == key_;
  }

 private:
  watch_key key_;
  pid actor_;
};

void caf_ties::link(const caf::strong_actor_ptr& actor) {
  auto stands_for = stand_in(actor.get());
  linked_.insert(stands_for, caf::weak_actor_ptr{actor.get()});
  actor->get()->attach(caf::attachable_ptr{new watch({process_, {}}, stands_for)});
}

void caf_ties::forget_link(pid actor) {
  auto tie = linked_.take(actor);
  if (!tie) return;
  caf::default_attachable::observe_token mine{
      caf::actor_cast<caf::actor_addr>(*tie), caf::default_attachable::link};
  static_cast<process_actor&>(*current_process()).detach(mine);
}

void caf_ties::unlink(pid actor) {
  if (auto* tie = linked_.find(actor)) let_go(*tie, {});
  forget_link(actor);
}

void caf_ties::monitor(reference ref, const caf::strong_actor_ptr& actor) {
  monitored_.insert(ref, caf::weak_actor_ptr{actor.get()});
  actor->get()->attach(caf::attachable_ptr{new watch({process_, ref}, stand_in(actor.get()))});
}

void caf_ties::demonitor(reference ref) {
  if (auto tie = monitored_.take(ref)) let_go(*tie, ref);
}

/// Our end of a link that an actor has made or taken back.
void take_link(const caf::strong_actor_ptr& actor) {
  auto& process = *current_process();
  if (process.links.insert(stand_in(actor.get()))) make_ties(process).link(actor);
}

void take_unlink(pid actor) {
  auto& process = *current_process();
  if (!process.links.erase(actor)) return;
  if (auto* ties = ties_of(&process)) ties->unlink(actor);
}

}  // namespace

// --- the actor -----------------------------------------------------------------------------------

void process_actor::end(const exit_reason& reason) {
  // Most processes are never seen by CAF; then nobody is left to tell.
  bool is_known = ctrl()->strong_refs.load(std::memory_order_acquire) != 1 ||
                  ctrl()->weak_refs.load(std::memory_order_acquire) != 1 || attachables_head_;
  if (is_known) cleanup(to_caf(reason), nullptr);
}

namespace {

/// What an actor answered.
struct caf_answer { caf::message content; };
std::string to_string(const caf_answer& answer) { return caf::to_string(answer.content); }

}  // namespace

void process_actor::enqueue(caf::mailbox_element_ptr element, caf::execution_unit*) {
  if (element->mid.is_response()) return take_response(*element);
  if (element->content().match_elements<caf::exit_msg>()) return take_exit(*element);
  std::shared_ptr<caf_promise> promise;
  if (element->mid.is_request() && element->sender)
    promise = std::make_shared<caf_promise>(*this, *element);
  deliver(
      process::id,
      make_message<caf_message>(
          message_kind::foreign, caf::actor_cast<caf::actor>(std::move(element->sender)),
          element->move_content_to_message(), std::move(promise)));
}

/// Links speak through a watch, so this is what somebody sent on purpose, and `kill` means it.
void process_actor::take_exit(const caf::mailbox_element& element) {
  auto& exit = element.content().get_as<caf::exit_msg>(0);
  auto reason =
      exit.reason == caf::exit_reason::kill ? exit_reason::kill : to_exit_reason(exit.reason);
  // anon_send_exit names the receiver as the source.
  auto source = caf::actor_cast<caf::strong_actor_ptr>(exit.source);
  bool anonymous = source == nullptr || source->get() == this;
  signal_exit(
      process::id, anonymous ? stand_in(nullptr) : pid_of(source.get()), std::move(reason), false);
}

/// The number of a request is the number of its reference.
void process_actor::take_response(caf::mailbox_element& element) {
  auto answer = make_message<caf_answer>(message_kind::reply, element.move_content_to_message());
  answer->ref = reference{element.mid.request_id().integer_value()};
  answer->from = stand_in(element.sender.get());
  deliver(process::id, std::move(answer));
}

void process_actor::hang_on(const caf::strong_actor_ptr& other) {
  exclusive_critical_section([&] { caf::monitorable_actor::add_backlink(other->get()); });
}

/// Called with our mutex and the other's locked.
bool process_actor::add_backlink(caf::abstract_actor* other) {
  caf::strong_actor_ptr actor{other->ctrl()};
  if (has_ended(*this)) {
    // CAF answers this from here; a blocking actor would then wait for the mutex that it holds.
    if (auto* workers = scheduler::instance())
      workers->pick().post_function([actor, gone = address(), reason = fail_state_] {
        actor->enqueue(
            nullptr, caf::make_message_id(), caf::make_message(caf::exit_msg{gone, reason}),
            nullptr);
      });
    return false;
  }
  // Answers whether the other is to hang on us as well; instead the process puts a watch on it.
  if (caf::monitorable_actor::add_backlink(other))
    run_at_once(process::id, [actor] { take_link(actor); });
  return false;
}

bool process_actor::remove_backlink(caf::abstract_actor* other) {
  run_at_once(process::id, [actor = stand_in(other->ctrl())] { take_unlink(actor); });
  return caf::monitorable_actor::remove_backlink(other);
}

// --- requests to an actor ------------------------------------------------------------------------

namespace {

/// A request on its way.
struct caf_question {
  caf::strong_actor_ptr to;
  caf::message content;
  caf_unpacker unpack;
  std::string_view expected;
};
std::string to_string(const caf_question& question) { return caf::to_string(question.content); }

struct outcome {
  message_ptr value;   // or null, and then
  exit_reason reason;  // why there is none
};

outcome read_answer(const caf_question& question, caf::message& content) {
  if (content.match_elements<caf::error>())
    return {nullptr, to_exit_reason(content.get_as<caf::error>(0))};
  if (auto value = question.unpack(content)) return {std::move(value), {}};
  return {
      nullptr, exit_reason(
                   "expected the actor to answer " + std::string(question.expected) + ", got " +
                   caf::to_string(content))};
}

/// In a process: stands between the process and the one that waits, who expects an R.
class answer_reader final : public call_waiter {
 public:
  answer_reader(caf_question question, std::unique_ptr<call_waiter> inner)
      : question_(std::move(question)), inner_(std::move(inner)) {}

  void answered(message& reply) override {
    auto [value, reason] = read_answer(question_, value_of<caf_answer>(reply)->content);
    value ? inner_->answered(*value) : inner_->failed(reason);
  }
  void failed(const exit_reason& reason) override { inner_->failed(reason); }

 private:
  caf_question question_;  // without its content
  std::unique_ptr<call_waiter> inner_;
};

/// Outside processes: an actor that exists for one answer.
class answer_port final : public caf::monitorable_actor {
 public:
  answer_port(caf::actor_config& config, pid caller, reference ref, caf_question question)
      : caf::monitorable_actor(config),
        caller_(caller),
        ref_(ref),
        question_(std::move(question)) {}

  using caf::abstract_actor::enqueue;
  const char* name() const override { return "roost.answer_port"; }

  void enqueue(caf::mailbox_element_ptr element, caf::execution_unit*) override {
    if (!element->mid.is_response()) return bounce(element);
    auto content = element->move_content_to_message();
    tell(read_answer(question_, content));
  }

  /// Nobody is left who could answer.
  void on_destroy() override {
    tell({nullptr, exit_reason("unanswered")});
    cleanup(make_error(caf::exit_reason::unreachable), nullptr);
  }

 private:
  void tell(outcome outcome) {
    if (told_.test_and_set(std::memory_order_acq_rel)) return;
    auto reply = outcome.value ? std::move(outcome.value)
                               : message_ptr(make_message<death_notice>(
                                     message_kind::no_reply, std::move(outcome.reason)));
    reply->ref = ref_;
    reply->from = pid{0, caf_node};
    roost::detail::enqueue(caller_, std::move(reply));
  }

  pid caller_;
  reference ref_;
  caf_question question_;
  std::atomic_flag told_;
};

void ask_caf(pid caller, reference ref, caf_question question) {
  auto to = std::move(question.to);
  auto content = std::move(question.content);
  caf::strong_actor_ptr asks = sender_here();
  if (asks) {
    auto* open = current_process()->extra->requests.find(ref);
    open->waiter = std::make_unique<answer_reader>(std::move(question), std::move(open->waiter));
  } else {
    auto& system = caf_system();
    caf::actor_config config;
    config.flags = caf::abstract_channel::is_hidden_flag;
    asks = caf::make_actor<answer_port, caf::strong_actor_ptr>(
        system.next_actor_id(), system.node(), &system, config, caller, ref, std::move(question));
  }
  to->enqueue(std::move(asks), caf::make_message_id(ref.value), std::move(content), nullptr);
}

}  // namespace

request request_of_caf(
    const caf::actor& to, caf::message content, std::chrono::milliseconds timeout,
    caf_unpacker unpack, std::string_view expected) {
  auto actor = strong(to);
  auto stands_for = stand_in(actor.get());
  return {
      stands_for,
      make_message<caf_question>(
          message_kind::call, std::move(actor), std::move(content), unpack, expected),
      timeout, "a CAF actor's answer"};
}

void send_to_caf(const caf::actor& to, caf::message content) {
  if (to) strong(to)->enqueue(sender_here(), caf::make_message_id(), std::move(content), nullptr);
}

void tell_caf(pid to, message_ptr message) {
  auto* ties = ties_of(current_process());
  switch (message->kind) {
    case message_kind::call: {
      auto* question = value_of<caf_question>(*message);
      if (question == nullptr || !question->to) break;
      return ask_caf(message->from, message->ref, std::move(*question));
    }
    case message_kind::demonitor:
      if (ties != nullptr) ties->demonitor(message->ref);
      return;
    case message_kind::unlink:
      if (ties != nullptr) ties->unlink(to);
      return;
    default:
      break;
  }
  answer_for_the_dead(to, std::move(message), exit_reason::noproc);
}

}  // namespace detail

// --- messages, links and monitors ----------------------------------------------------------------

void caf_message::answer(caf::message answer) const {
  if (promise_)
    promise_->answer(std::move(answer));
  else
    detail::send_to_caf(sender, std::move(answer));
}

std::string to_string(const caf_message& message) { return caf::to_string(message.content); }

reference monitor(const caf::actor& actor) {
  auto& self = me("monitor");
  auto target = strong(actor);
  if (auto* process = as_process(target.get())) return monitor(process->self());
  auto ref = make_ref();
  self.more().monitors.insert(ref, stand_in(target.get()));
  if (!target || has_ended(*target->get()))
    detail::signal_down(self.process::id, ref, stand_in(target.get()), exit_reason::noproc);
  else
    detail::make_ties(self).monitor(ref, target);
  return ref;
}

void link(const caf::actor& actor) {
  auto& self = me("link");
  auto target = strong(actor);
  if (auto* process = as_process(target.get())) return link(process->self());
  auto stands_for = stand_in(target.get());
  if (!self.links.insert(stands_for)) return;
  if (!target || has_ended(*target->get()))
    return detail::signal_exit(self.process::id, stands_for, exit_reason::noproc, true);
  self.hang_on(target);
  detail::make_ties(self).link(target);
}

void unlink(const caf::actor& actor) {
  me("unlink");
  unlink(to_pid(actor));
}

void exit(const caf::actor& actor, exit_reason reason) {
  auto target = strong(actor);
  if (!target) return;
  if (auto* process = as_process(target.get())) return exit(process->self(), std::move(reason));
  auto source = sender_here();
  auto from = source ? source->address() : target->address();
  target->enqueue(
      nullptr, caf::make_message_id(), caf::make_message(caf::exit_msg{from, to_caf(reason)}),
      nullptr);
}

}  // namespace roost
