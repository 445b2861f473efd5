#include "channels/background.hpp"
#include "runtime/process_core.hpp"
#include <pthread.h>
#include <sys/resource.h>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace roost::detail {
namespace {

constexpr int lower_priority = 5;  // nice

class background_thread {
 public:
  /// Lives until the program ends.
  static background_thread& instance() {
    static auto& only = *new background_thread;
    return only;
  }

  void add(std::function<void()> job) {
    {
      std::lock_guard guard{mutex_};
      jobs_.push_back(std::move(job));
    }
    added_.notify_one();
  }

 private:
  background_thread() {
    std::thread([this] { run(); }).detach();
  }

  void run() {
    ::pthread_setname_np(::pthread_self(), "roost backgrnd");
    ::setpriority(PRIO_PROCESS, 0, lower_priority);  // of this thread only
    std::unique_lock lock{mutex_};
    for (;;) {
      added_.wait(lock, [&] { return !jobs_.empty(); });
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      job = {};
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable added_;
  std::deque<std::function<void()>> jobs_;
};

}  // namespace

void in_background(std::function<void()> work, std::function<void()> done) {
  background_thread::instance().add(
      [process = self(), work = std::move(work), done = std::move(done)] {
        work();
        run_in(process, done);
      });
}

}  // namespace roost::detail
