// Everything in the handler is async-signal-safe, or as good as that: no allocation, no lock of
// ours, all memory reserved before. glibc's backtrace() is safe once it has been called; dladdr may
// wait for the loader's lock, so an alarm ends a handler that hangs.
#include "supervision/release/crash_handler.hpp"
#include "runtime/spawn.hpp"
#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>

namespace roost::detail {
namespace {

constexpr std::array fatal{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
constexpr int longest_path = 4096;

struct report_settings {
  char file[longest_path] = {};
  char program[256] = {};
  char executable[longest_path] = {};
  char build_id[2 * 64 + 1] = {};
};
report_settings settings;
std::atomic<bool> reporting{false};

/// Builds a line in place and writes it to two files.
class writer {
 public:
  explicit writer(int file) : file_(file) {}

  writer& text(const char* text) {
    for (; *text != '\0'; ++text) put(*text);
    return *this;
  }
  writer& number(std::uint64_t value, unsigned base = 10) {
    char digits[24];
    int count = 0;
    do {
      digits[count++] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    if (base == 16) text("0x");
    while (count > 0) put(digits[--count]);
    return *this;
  }
  void end_line() {
    put('\n');
    flush();
  }
  void flush() {
    for (int to : {STDERR_FILENO, file_})
      if (to >= 0) [[maybe_unused]]
        auto written = ::write(to, buffer_, used_);
    used_ = 0;
  }

 private:
  void put(char c) {
    if (used_ == sizeof buffer_) flush();
    buffer_[used_++] = c;
  }

  int file_;
  std::size_t used_ = 0;
  char buffer_[512];
};

const char* signal_name(int number) {
  switch (number) {
    case SIGSEGV:
      return "SIGSEGV";
    case SIGBUS:
      return "SIGBUS";
    case SIGILL:
      return "SIGILL";
    case SIGFPE:
      return "SIGFPE";
    default:
      return "SIGABRT";
  }
}

void write_frame(writer& out, int index, void* address) {
  out.text("#").number(static_cast<std::uint64_t>(index)).text(" ");
  auto place = reinterpret_cast<std::uintptr_t>(address);
  Dl_info info{};
  if (::dladdr(address, &info) == 0 || info.dli_fname == nullptr) {
    out.number(place, 16).end_line();
    return;
  }
  out.text(info.dli_fname)
      .text("+")
      .number(place - reinterpret_cast<std::uintptr_t>(info.dli_fbase), 16);
  if (info.dli_sname != nullptr)
    out.text(" (")
        .text(info.dli_sname)
        .text("+")
        .number(place - reinterpret_cast<std::uintptr_t>(info.dli_saddr), 16)
        .text(")");
  out.end_line();
}

void write_report(int number, const siginfo_t* info) {
  int file = ::open(settings.file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  writer out(file);
  char thread[17] = {};
  ::prctl(PR_GET_NAME, thread);
  out.text("signal ").number(static_cast<std::uint64_t>(number));
  out.text(" (").text(signal_name(number)).text(")");
  if (info->si_code > 0)
    out.text(" at address ").number(reinterpret_cast<std::uintptr_t>(info->si_addr), 16);
  else if (info->si_pid != ::getpid())
    out.text(" sent by process ").number(static_cast<std::uint64_t>(info->si_pid));
  out.text(", in thread ").number(static_cast<std::uint64_t>(::syscall(SYS_gettid)));
  out.text(" (").text(thread).text(") of process ");
  out.number(static_cast<std::uint64_t>(::getpid())).text(", ").text(settings.program).end_line();

  std::array<void*, 64> frames;
  int count = ::backtrace(frames.data(), static_cast<int>(frames.size()));
  for (int i = 0; i < count; ++i) write_frame(out, i, frames[static_cast<std::size_t>(i)]);
  out.text("build id of ").text(settings.executable).text(": ").text(settings.build_id);
  out.text("; source lines: addr2line -Cfe ").text(settings.executable);
  out.text(" OFFSET…").end_line();
  if (file >= 0) ::close(file);
}

void on_signal(int number, siginfo_t* info, void*) {
  // A second thread that dies meanwhile must not end the report of the first.
  if (reporting.exchange(true)) {
    for (;;) ::pause();
  }
  ::alarm(5);
  write_report(number, info);
  ::signal(number, SIG_DFL);
  ::raise(number);
  // Blocked while its handler runs; it takes its course with the return from here.
}

void copy_text(char* to, std::size_t size, const std::string& text) {
  auto length = std::min(text.size(), size - 1);
  std::memcpy(to, text.data(), length);
  to[length] = '\0';
}

void read_build_id_note(const char* at, const char* end) {
  while (at + sizeof(ElfW(Nhdr)) <= end) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof note);
    const auto* name = at + sizeof note;
    const auto* content = name + ((note.n_namesz + 3) & ~3U);
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0) {
      for (unsigned i = 0; i < note.n_descsz && i < 64; ++i) {
        auto byte = static_cast<unsigned char>(content[i]);
        settings.build_id[2 * i] = "0123456789abcdef"[byte >> 4];
        settings.build_id[2 * i + 1] = "0123456789abcdef"[byte & 15];
      }
      return;
    }
    at = content + ((note.n_descsz + 3) & ~3U);
  }
}

/// Of the executable, which comes first.
int find_build_id(dl_phdr_info* info, std::size_t, void*) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_NOTE) continue;
    const auto* at = reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr);
    read_build_id_note(at, at + header.p_memsz);
  }
  return 1;
}

constexpr bool sanitized =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    true;  // the sanitizers have reports of their own
#else
    false;
#endif

/// For the calling thread, once.
void use_signal_stack() {
  constexpr std::size_t size = 64 * 1024;
  struct stack {
    stack() : memory(new char[size]) {
      stack_t description{};
      description.ss_sp = memory.get();
      description.ss_size = size;
      ::sigaltstack(&description, nullptr);
    }
    ~stack() {
      stack_t off{};
      off.ss_flags = SS_DISABLE;
      ::sigaltstack(&off, nullptr);
    }
    std::unique_ptr<char[]> memory;
  };
  static thread_local stack only;
}

/// A process that is gone as soon as its worker has started it.
class stack_giver final : public behavior {
 public:
  init_outcome init() override {
    use_signal_stack();
    return {init_status::ignore, exit_reason::normal};
  }
  void handle(message&) override {}
  std::string_view initial_call() const noexcept override { return "stack_giver"; }
};

[[noreturn]] void on_terminate() {
  writer out(-1);
  out.text("uncaught exception");
  if (auto error = std::current_exception()) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& caught) {
      out.text(": ").text(caught.what());
    } catch (...) {
    }
  }
  out.end_line();
  std::abort();
}

}  // namespace

void install_crash_handler(const std::string& file, const std::string& program) {
  copy_text(settings.file, sizeof settings.file, file);
  copy_text(settings.program, sizeof settings.program, program);
  auto size = ::readlink("/proc/self/exe", settings.executable, sizeof settings.executable - 1);
  settings.executable[size > 0 ? size : 0] = '\0';
  ::dl_iterate_phdr(find_build_id, nullptr);
  if (sanitized) return;
  void* warm_up[1];
  ::backtrace(warm_up, 1);  // loads libgcc, which must not happen in a handler
  use_signal_stack();
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (int number : fatal) ::sigaction(number, &action, nullptr);
  std::set_terminate(on_terminate);
}

void use_signal_stacks(std::size_t workers) {
  if (sanitized) return;
  for (std::size_t i = 0; i < workers; ++i)
    start_process(std::make_unique<stack_giver>(), {.worker = static_cast<int>(i)});
}

}  // namespace roost::detail
