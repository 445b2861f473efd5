// runtime/port.hpp
//
// A port: an external program whose standard input and output belong to a process, its owner. What
// the program writes comes as messages; what the owner sends goes to the program.
//
//   struct sorter {
//     using messages = roost::messages<>;
//     using infos = roost::messages<roost::port_data, roost::port_exit_status>;
//     roost::port sort;
//
//     static roost::init_result<sorter> init() {
//       auto sort = roost::open_port({.command = "sort", .line = 4096, .exit_status = true});
//       if (!roost::port_command(sort, "b\na\n")) roost::exit("sort does not read");
//       return sorter{sort};
//     }
//     void handle_info(const roost::port_data& line) { … line.data, line.eol … }
//     void handle_info(const roost::port_exit_status& end) { … end.status … }
//   };
//
// A port is a process: it can be linked, monitored, asked for with process_info. It is linked to
// its owner from the beginning. It ends with `normal` when the program closes its output, and then
// the owner, if it traps exits, gets `exited`. When the owner ends, for whatever reason, the port
// ends: the program finds its standard input closed. A program that does not mind runs on, as in
// OTP.
//
// Framing. By default data comes as it is read. `packet` puts a length of 1, 2 or 4 bytes,
// big-endian, before each message, in both directions. `line` delivers lines of at most so many
// bytes without their end; a longer one comes in pieces, of which the last has `eol`.
//
// Memory is bounded both ways. A port reads no more while `read_ahead` bytes that it has delivered
// wait in its owner's mailbox: the program waits. A port is busy while `busy_limit` bytes wait for
// the program: port_command then answers false, and the owner gets `port_ready` when there is room
// again.
//
// Errors. open_port throws std::system_error when the program cannot be started, with what the
// system says: no such file, permission denied, too many open files. A program that no longer reads
// ends its port with `epipe`; a packet of more than `max_packet` bytes ends it with `emsgsize`.
// Using a port that is closed throws std::invalid_argument (badarg).
//
// A port takes three descriptors while it is open, and one until its program has ended. SIGPIPE is
// ignored from the first port on, unless the program has a handler of its own.
//
// Thread safety: handles are values; port_command, port_close and port_info may be used anywhere,
// open_port in processes. Source: erlang:open_port/2 with spawn_executable, port_command/3,
// port_close/1.
#pragma once
#include "runtime/process.hpp"
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace roost {

struct port_options {
  std::string command;  // a path, or a name that is looked up in PATH
  std::vector<std::string> arguments = {};
  int packet = 0;        // bytes of the length: 0 (none), 1, 2, 4
  std::size_t line = 0;  // bytes, at least 1; 0: no lines. Not with packet
  std::map<std::string, std::optional<std::string>> env = {};  // added to ours; nullopt takes away
  std::string cd = {};                                         // where the program runs
  bool exit_status =
      false;  // the owner gets a port_exit_status, and the port ends with its program
  bool stderr_to_stdout = false;      // else the program's errors go where ours go
  std::size_t busy_limit = 64 << 10;  // bytes, at least 1
  std::size_t read_ahead = 1 << 20;   // bytes, at least 1
  std::size_t max_packet = 64 << 20;  // bytes, for what comes with packet = 4
};

namespace detail {
class port_state;
}

/// A handle to a port. A default one is nobody.
class port {
 public:
  port() noexcept = default;
  pid process() const noexcept { return process_; }
  explicit operator bool() const noexcept { return static_cast<bool>(process_); }
  friend bool operator==(const port& a, const port& b) noexcept { return a.process_ == b.process_; }

  /// For the library.
  port(pid process, std::shared_ptr<detail::port_state> state) noexcept
      : process_(process), state_(std::move(state)) {}
  detail::port_state* state() const noexcept { return state_.get(); }

 private:
  pid process_;
  std::shared_ptr<detail::port_state> state_;
};
std::string to_string(const port& port);  // "#port<0.42.0>"

// --- what an owner gets --------------------------------------------------------------------------

/// What the program has written: some bytes, a packet, or a line.
struct port_data {
  port from;
  std::string data;
  bool eol = false;                         // with `line`: the line ends here
  std::shared_ptr<const void> credit = {};  // lets the port read on when the message is gone
};
std::string to_string(const port_data& message);

/// The program has ended: its status, or 128 and the signal that has ended it.
struct port_exit_status {
  port from;
  int status;
};

/// A port that was busy has room again.
struct port_ready { port from; };

// --- using a port --------------------------------------------------------------------------------

/// Starts a program whose port belongs to the calling process. Throws std::invalid_argument for
/// options that make no sense, std::system_error when the program cannot be started, and
/// std::logic_error outside processes.
port open_port(port_options options);

/// Sends bytes to the program, as one packet with `packet`. Answers false, and sends nothing, when
/// the port is busy. Throws std::invalid_argument when it is closed, or for what does not fit a
/// packet.
[[nodiscard]] bool port_command(const port& port, std::string bytes);

/// Closes the port: what was sent before is still written, for 5 s at most; nothing more is
/// delivered. Throws std::invalid_argument when it is closed already.
void port_close(const port& port);

/// Gives the port to another process, which is linked to it; the old owner stays linked. Only its
/// owner may do so: anybody else changes nothing.
void port_connect(const port& port, pid owner);

struct port_details {
  std::string command;
  int os_pid = 0;
  std::uint64_t input = 0;   // bytes read from the program
  std::uint64_t output = 0;  // bytes written to it
  std::size_t queued = 0;    // bytes that wait to be written
};

/// What is known of a port; nothing when it is closed.
std::optional<port_details> port_info(const port& port);

}  // namespace roost
