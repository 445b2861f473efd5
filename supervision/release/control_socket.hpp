// supervision/release/control_socket.hpp — private.
//
// How a command such as `chat stop` talks to the running node: over a Unix socket in RELEASE_TMP
// that only the node's user and root may open.
//
//   control_server server{path, {{"ping", [](auto&) { return control_reply{"pong"}; }}}};
//
//   control_client client{path};                // throws nobody_there
//   auto answer = client.ask("ping", 5s);       // "ok pong"
//
// The exchange: the client sends one line, a command and its arguments separated by spaces, of at
// most 4096 bytes. The server answers with one line, `ok …` or `error …`, and closes, unless the
// command waits for the end of the node: then a line `ended CODE` follows, and the connection
// closes when the process is gone. A client that says nothing for 10 s is dropped; 64 may be there
// at once.
//
// Thread safety: the commands run on the server's thread, so they must not wait. A client belongs
// to one thread.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace roost::detail {

struct control_reply {
  std::string text = {};
  bool failed = false;
  bool waits_for_end = false;  // the client stays until finish()
};

using control_command = std::function<control_reply(const std::vector<std::string>& arguments)>;

/// A command of a layer above, on every node from now on; the same name again replaces it. A
/// command that the node has itself goes first. Any thread.
void offer_control_command(std::string name, control_command command);

class control_server {
 public:
  /// Replaces a socket that is there: whoever holds the node's lock owns it. Throws
  /// std::runtime_error.
  control_server(std::string path, std::map<std::string, control_command> commands);
  control_server(const control_server&) = delete;
  control_server& operator=(const control_server&) = delete;
  ~control_server();

  /// Tells those who wait how the node ends. Their connections end with the process. No command
  /// is running when this returns, and none comes any more.
  void finish(int exit_code);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

class nobody_there : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class control_client {
 public:
  explicit control_client(const std::string& path);
  control_client(control_client&& other) noexcept;
  control_client& operator=(control_client&&) = delete;
  ~control_client();

  /// Nothing if the connection ends or the time is over.
  std::optional<std::string> ask(const std::string& request, std::chrono::milliseconds limit);
  std::optional<std::string> read_line(std::chrono::milliseconds limit);

  /// Waits until the node closes the connection, which happens when its process ends or is
  /// replaced.
  bool wait_for_end(std::chrono::milliseconds limit);

 private:
  int descriptor_ = -1;
  std::string received_;
};

}  // namespace roost::detail
