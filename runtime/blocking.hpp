// runtime/blocking.hpp
//
// Code that blocks (a file, a database, a heavy computation) runs on a pool of threads of its own,
// so that no process waits for it. The answer comes back to the process like the answer of a call.
//
//   roost::blocking([path] { return read_file(path); })
//       .then([this](std::string text) { contents = std::move(text); });
//
// The pool grows with demand up to 64 threads, which leave after 10 s without work; what does not
// fit waits in line. There is no timeout unless one is given. An exception in the function is the
// reason why the answer fails. The function runs to its end even if nobody waits for it any more.
//
// Thread safety: may be called from any process, and with `.get()` from any other thread.
#pragma once
#include "runtime/gen_server.hpp"

namespace roost {

namespace detail {

/// A function on its way to the pool. `run` answers the reply.
class blocking_job {
 public:
  blocking_job() = default;
  blocking_job(const blocking_job&) = delete;
  blocking_job& operator=(const blocking_job&) = delete;
  virtual ~blocking_job() = default;
  virtual message_ptr run() = 0;
};

template <class F>
class blocking_function final : public blocking_job {
 public:
  explicit blocking_function(F function) : function_(std::move(function)) {}
  message_ptr run() override {
    using R = decltype(function_());
    if constexpr (std::is_void_v<R>) {
      function_();
      return make_message<unit>(message_kind::reply);
    } else {
      return make_message<R>(message_kind::reply, function_());
    }
  }

 private:
  F function_;
};

}  // namespace detail

template <class F>
auto blocking(F function, std::chrono::milliseconds timeout = infinity) {
  using R = decltype(function());
  std::unique_ptr<detail::blocking_job> job =
      std::make_unique<detail::blocking_function<F>>(std::move(function));
  return pending<R>(detail::request{
      pid{},
      detail::make_message<std::unique_ptr<detail::blocking_job>>(
          detail::message_kind::task, std::move(job)),
      timeout, detail::type_name<F>()});
}

}  // namespace roost
