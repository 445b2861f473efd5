// supervision/caf_child.hpp
//
// A CAF actor as a child of a supervisor: started, restarted and stopped like any other. For those
// who have actors already: the function's file includes runtime/caf.hpp, the door to CAF.
//
//   roost::supervisor_spec house() {
//     return {.children = {
//                 roost::caf_child("thermometer",
//                                  [](caf::actor_system& system) { return
//                                  system.spawn(thermometer); }),
//                 roost::child<heating>(20),
//             }};
//   }
//
// The function runs at each start. The child that the supervisor sees is a process that watches the
// actor and ends with it, for the same reason: `quit()` is normal, an error is a crash. To stop,
// the actor is sent exit_reason::user_shutdown, and is waited for; who needs longer than `shutdown`
// is killed.
//
// Errors: a function that throws or answers no actor is a failed start.
// Thread safety: plain values. Source: OTP supervisor, "Child Specification"; caf::exit_msg.
#pragma once
#include "supervision/child_spec.hpp"

namespace caf {
class actor;
class actor_system;
}  // namespace caf

namespace roost {

child_spec caf_child(std::string id, std::function<caf::actor(caf::actor_system&)> start);

}  // namespace roost
