// private: where and how urgently the processes of clients run, beside a server on the same
// machine.
#pragma once

namespace roost::load {

/// What is measured is how long the server takes, not how long this process waits for a processor.
/// Where that is not allowed it waits.
void hurry();

/// Keeps the herd away from the first processor, as if it came from other machines: what it sends
/// through loopback would else keep the kernel from moving what others send there.
void keep_apart(bool is_herd);

}  // namespace roost::load
