// runtime/exit_reason.hpp
//
// Why a process ended: what links and monitors are told, and what a supervisor decides by. The
// reasons and their names are Erlang's: `normal`, `shutdown` and `{shutdown, term}` are orderly
// ends, everything else is a crash. Cheap to copy (a code and one shared pointer); safe to read
// from any thread.
//
//   roost::exit(worker, roost::exit_reason::shutdown);
//   roost::exit(worker, "out of paper");                       // any other reason is text
//   if (down.reason == roost::exit_reason::noproc) …
//
// Source: Erlang reference manual, Processes, "Sending Exit Signals".
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace roost {
namespace detail {
class wire_writer;
class wire_reader;
}  // namespace detail

class exit_reason {
 public:
  enum class code : std::uint8_t {
    normal,    // finished; never kills a linked process
    shutdown,  // asked to stop by its supervisor; `term()` says more when it is {shutdown, term}
    kill,      // sent only: cannot be trapped
    killed,    // what the links and monitors of a killed process see
    noproc,    // the process was not there
    noconnection,  // its node was not reachable, or was lost
    timeout,       // an answer did not come in time
    error,         // a handler threw: `type()`, `what()` and `where()` say more
    custom         // any other reason, as text in `term()`
  };

  static const exit_reason normal;
  static const exit_reason shutdown;
  static const exit_reason kill;
  static const exit_reason killed;
  static const exit_reason noproc;
  static const exit_reason noconnection;
  static const exit_reason timeout;

  constexpr exit_reason() noexcept = default;  // normal
  exit_reason(std::string_view text);          // custom
  exit_reason(const char* text) : exit_reason(std::string_view(text)) {}

  /// `{shutdown, term}`: an orderly end with a detail, such as `{shutdown, left}`.
  static exit_reason shutdown_with(std::string_view term);

  /// A crash: the type of the exception, what it said, and the handler that threw it.
  static exit_reason error(std::string_view type, std::string_view what, std::string_view where);

  code kind() const noexcept { return code_; }

  /// normal, shutdown and {shutdown, term}: ends that are no crash and write no report.
  bool is_orderly() const noexcept { return code_ == code::normal || code_ == code::shutdown; }

  std::string_view term() const noexcept;   // of shutdown_with and custom reasons, else empty
  std::string_view type() const noexcept;   // of an error
  std::string_view what() const noexcept;   // of an error
  std::string_view where() const noexcept;  // of an error

  /// As Erlang prints it: `normal`, `{shutdown, left}`, `{error, std::runtime_error, "no paper"}`.
  std::string to_string() const;

  friend bool operator==(const exit_reason& a, const exit_reason& b) noexcept;

  // Between nodes: see codec.hpp.
  friend void wire_encode(roost::detail::wire_writer& out, const exit_reason& reason);
  friend void wire_decode(roost::detail::wire_reader& in, exit_reason& reason);

 private:
  struct detail;
  constexpr explicit exit_reason(code code) noexcept : code_(code) {}

  code code_ = code::normal;
  std::shared_ptr<const detail> detail_;
};

inline constinit const exit_reason exit_reason::normal{code::normal};
inline constinit const exit_reason exit_reason::shutdown{code::shutdown};
inline constinit const exit_reason exit_reason::kill{code::kill};
inline constinit const exit_reason exit_reason::killed{code::killed};
inline constinit const exit_reason exit_reason::noproc{code::noproc};
inline constinit const exit_reason exit_reason::noconnection{code::noconnection};
inline constinit const exit_reason exit_reason::timeout{code::timeout};

}  // namespace roost
