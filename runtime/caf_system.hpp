// private: the door to CAF for local processes. The actor system whose scheduler is ours.
#pragma once
#include <cstddef>
#include <memory>

namespace roost::detail {

class caf_system {
 public:
  explicit caf_system(std::size_t workers);
  ~caf_system();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace roost::detail
