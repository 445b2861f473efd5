#include "runtime/blocking_pool.hpp"
#include "runtime/blocking.hpp"
#include "runtime/process_core.hpp"
#include <cxxabi.h>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>

namespace roost::detail::blocking_pool {
namespace {

constexpr std::size_t most_threads = 64;
constexpr std::chrono::seconds idle_limit{10};

struct pool {
  std::mutex mutex;
  std::condition_variable work;
  std::deque<message_ptr> waiting;
  std::list<std::thread> threads;
  std::vector<std::list<std::thread>::iterator> finished;
  std::size_t idle = 0;
  bool stopping = false;
};

pool& instance() {
  static auto& instance = *new pool;  // its threads may outlive static destruction
  return instance;
}

message_ptr result_of(blocking_job& job) {
  try {
    return job.run();
  } catch (const process_exit& exit) {
    return make_message<death_notice>(message_kind::no_reply, exit.reason());
  } catch (const std::exception& error) {
    int status = 0;
    std::unique_ptr<char, void (*)(void*)> name{
        abi::__cxa_demangle(typeid(error).name(), nullptr, nullptr, &status), std::free};
    return make_message<death_notice>(
        message_kind::no_reply,
        exit_reason::error(name ? name.get() : "exception", error.what(), "roost::blocking"));
  } catch (...) {
    return make_message<death_notice>(
        message_kind::no_reply, exit_reason::error("unknown", "", "roost::blocking"));
  }
}

void answer(message_ptr request) {
  auto reply = result_of(**value_of<std::unique_ptr<blocking_job>>(*request));
  reply->ref = request->ref;
  enqueue(request->from, std::move(reply));
}

void serve(std::list<std::thread>::iterator me) {
  auto& pool = instance();
  std::unique_lock guard{pool.mutex};
  for (;;) {
    ++pool.idle;
    pool.work.wait_for(guard, idle_limit, [&] { return pool.stopping || !pool.waiting.empty(); });
    --pool.idle;
    if (pool.stopping || pool.waiting.empty()) break;
    auto request = std::move(pool.waiting.front());
    pool.waiting.pop_front();
    guard.unlock();
    answer(std::move(request));
    guard.lock();
  }
  pool.finished.push_back(me);
}

void join_finished(pool& pool, std::unique_lock<std::mutex>& guard) {
  auto finished = std::exchange(pool.finished, {});
  std::list<std::thread> leaving;
  for (auto thread : finished) leaving.splice(leaving.end(), pool.threads, thread);
  guard.unlock();
  for (auto& thread : leaving) thread.join();
  guard.lock();
}

}  // namespace

void run(message_ptr request) {
  auto& pool = instance();
  std::unique_lock guard{pool.mutex};
  if (!pool.finished.empty()) join_finished(pool, guard);
  pool.waiting.push_back(std::move(request));
  if (pool.waiting.size() > pool.idle && pool.threads.size() < most_threads) {
    pool.threads.emplace_back();
    auto me = std::prev(pool.threads.end());
    *me = std::thread(serve, me);
  }
  pool.work.notify_one();
}

std::size_t waiting() {
  auto& pool = instance();
  std::lock_guard guard{pool.mutex};
  return pool.waiting.size();
}

void stop() {
  auto& pool = instance();
  std::unique_lock guard{pool.mutex};
  pool.stopping = true;
  pool.work.notify_all();
  auto threads = std::move(pool.threads);
  pool.threads.clear();
  guard.unlock();
  for (auto& thread : threads) thread.join();
  guard.lock();
  pool.waiting.clear();
  pool.finished.clear();
  pool.stopping = false;
}

}  // namespace roost::detail::blocking_pool
