#include "runtime/thrown_stack.hpp"
#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <typeinfo>

namespace roost::detail {
namespace {

constexpr int most_frames = 32;

struct frames {
  std::array<void*, most_frames> addresses{};
  int count = 0;
  std::uint64_t process = 0;  // that it ends
};

std::atomic<bool> wanted{false};
constinit thread_local frames last{};
constinit thread_local frames kept{};

void remember() noexcept { last.count = ::backtrace(last.addresses.data(), most_frames); }

std::string name_of(void* address) {
  // The address is that of the instruction behind the call, which may belong to the next function.
  auto* inside = static_cast<char*>(address) - 1;
  Dl_info info{};
  if (::dladdr(inside, &info) == 0) return {};
  char offset[32];
  if (info.dli_sname == nullptr) {
    auto base = static_cast<char*>(info.dli_fbase);
    std::snprintf(offset, sizeof offset, "+0x%zx", static_cast<std::size_t>(inside - base));
    std::string file = info.dli_fname != nullptr ? info.dli_fname : "?";
    return file.substr(file.rfind('/') + 1) + offset;
  }
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> name{
      abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status), std::free};
  auto start = static_cast<char*>(info.dli_saddr);
  std::snprintf(offset, sizeof offset, "+0x%zx", static_cast<std::size_t>(inside - start));
  return (status == 0 ? name.get() : info.dli_sname) + std::string(offset);
}

}  // namespace

void capture_stacks(bool on) noexcept {
  void* warm_up[1];
  if (on) (void)::backtrace(warm_up, 1);  // loads the unwinder, outside of a throw
  wanted.store(on, std::memory_order_relaxed);
}

void keep_thrown_stack(std::uint64_t process) noexcept {
  if (last.count == 0) return;
  kept = last;
  kept.process = process;
  last.count = 0;
}

std::vector<std::string> take_thrown_stack(std::uint64_t process) {
  std::vector<std::string> result;
  if (kept.count == 0 || kept.process != process) return result;
  for (int i = 0; i < kept.count; ++i) {
    auto name = name_of(kept.addresses[static_cast<std::size_t>(i)]);
    // What is above the throw is ours, and what is below the process is the same for everybody.
    if (name.starts_with("__cxa_throw")) {
      result.clear();
      continue;
    }
    if (name.starts_with("roost::detail::run_process") ||
        name.starts_with("roost::detail::start_process"))
      break;
    if (!name.empty()) result.push_back(std::move(name));
  }
  kept.count = 0;
  return result;
}

}  // namespace roost::detail

// The linker takes this one for the whole program, the C++ library included, and the next one in
// the order of loading is the library's.
// The compiler has declared the name for itself, with other types, so ours is told to the
// assembler.
extern "C" [[noreturn]] void roost_throw(
    void* object, std::type_info* type, void (*destroy)(void*)) __asm__("__cxa_throw");

extern "C" void roost_throw(void* object, std::type_info* type, void (*destroy)(void*)) {
  using function = void (*)(void*, std::type_info*, void (*)(void*));
  static const auto library = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "__cxa_throw"));
  if (roost::detail::wanted.load(std::memory_order_relaxed)) roost::detail::remember();
  library(object, type, destroy);
  __builtin_unreachable();
}
