// Beside CAF: an actor that was there before, and a roost server that works with it.
//
// The thermometer is an event-based CAF actor. It knows nothing of roost: it answers whoever asks
// for its readings, monitors its subscriber with CAF's own function, and breaks now and then. The
// heating is a gen_server: it asks, listens and monitors with the words of roost. Both run on the
// same workers.
#include "runtime/caf.hpp"
#include "runtime/runtime.hpp"
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <cstdio>
#include <future>

using namespace std::chrono_literals;

namespace {

// What the two say to each other.
using subscribe_atom =
    caf::atom_constant<caf::atom("subscribe")>;                 // a request; answered with a name
using reading_atom = caf::atom_constant<caf::atom("reading")>;  // and the degrees
using heat_atom = caf::atom_constant<caf::atom("heat")>;        // and whether to heat

void say(const char* who, const std::string& what) { std::printf("%-12s %s\n", who, what.c_str()); }

std::string degrees(int value) { return std::to_string(value) + " degrees"; }

// --- the CAF actor -------------------------------------------------------------------------------

struct thermometer_state {
  caf::actor subscriber;
  int degrees = 17;
  int readings = 0;
};

caf::behavior thermometer(
    caf::stateful_actor<thermometer_state>* self, int lasts,
    std::shared_ptr<std::promise<void>> the_end) {
  self->set_down_handler([=](caf::down_msg& gone) {
    auto reason = roost::to_exit_reason(gone.reason).to_string();
    say("thermometer", "my subscriber has ended (" + reason + "), so do I");
    self->quit();
    the_end->set_value();
  });
  return {
      [=](subscribe_atom) {
        self->state.subscriber = caf::actor_cast<caf::actor>(self->current_sender());
        self->monitor(self->state.subscriber);
        return "number " + std::to_string(self->id());
      },
      [=](heat_atom, bool on) {
        auto& state = self->state;
        state.degrees += on ? 2 : -1;
        if (++state.readings > lasts)
          return self->quit(caf::make_error(caf::sec::runtime_error, std::string("broken glass")));
        self->send(state.subscriber, reading_atom::value, state.degrees);
      },
  };
}

// --- the roost server ----------------------------------------------------------------------------

struct heating {
  struct connect {};
  using messages = roost::messages<>;
  using infos = roost::messages<roost::caf_message>;  // what CAF actors send
  using continues = roost::messages<connect>;

  int target;
  std::shared_ptr<std::promise<void>> the_end;
  caf::actor source = {};
  int readings = 0;

  static roost::init_result<heating> init(int target, std::shared_ptr<std::promise<void>> the_end) {
    roost::continue_with(connect{});
    return heating{target, the_end};
  }

  void handle_continue(connect) {
    source = roost::caf_system().spawn(thermometer, 3, the_end);
    roost::monitor(source);
    roost::request<std::string>(source, 1s, subscribe_atom::value).then([this](std::string name) {
      say("heating", "I have a thermometer, " + name);
      roost::send(source, heat_atom::value, true);
    });
  }

  roost::cast_result handle_info(const roost::caf_message& message) {
    auto reading = message.as<reading_atom, int>();
    if (!reading) return roost::noreply();
    auto now = std::get<1>(*reading);
    bool cold = now < target;
    say("heating", degrees(now) + (cold ? ": heat" : ": do not heat"));
    if (++readings == 5) {
      say("heating", "that will do");
      return roost::stop(roost::exit_reason::shutdown);
    }
    roost::send(source, heat_atom::value, cold);
    return roost::noreply();
  }

  void handle_info(const roost::down& gone) {
    say("heating",
        "my thermometer has ended (" + gone.reason.to_string() + "), I take another one");
    roost::continue_with(connect{});
  }
};

}  // namespace

int main() {
  roost::runtime runtime;
  auto the_end = std::make_shared<std::promise<void>>();
  roost::start<heating>(20, the_end);
  the_end->get_future().get();
}
