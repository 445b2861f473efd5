// private: a client of a test, the far end of a connection. Like a web_socket it calls the process
// of its socket as that process; what the process and its channels write is taken apart again and
// kept in the inbox.
//
// A witness, a process beside the socket, monitors what belongs to the client and subscribes to
// what the test wants to hear.
#pragma once
#include "channels/socket_process.hpp"
#include "channels/testing/inbox.hpp"

namespace roost::detail {

class recording_transport;

class test_client {
 public:
  explicit test_client(std::string_view pub_sub);
  test_client(const test_client&) = delete;
  test_client& operator=(const test_client&) = delete;
  /// The client disconnects, and the end of its channels is waited for.
  ~test_client();

  /// Answers the refusal, if it was refused. `given`: what connect answers, without asking it.
  std::optional<refused> connect(
      const socket_type& type, params parameters, const testing::client_options& options,
      std::optional<socket_type::connected> given);

  /// Fills in the ref, and answers it.
  std::string send(client_message message);
  std::shared_ptr<test_join> begin_join(std::string_view topic, const payload& params);
  void subscribe(std::string_view topic);
  void close(std::chrono::milliseconds timeout);

  test_inbox& inbox() const noexcept { return *inbox_; }
  hub& pub_sub() const noexcept { return *pub_sub_; }
  const socket_type& type() const noexcept { return *type_; }
  const socket_type::connected& connected() const noexcept { return connected_; }

 private:
  exit_reason start(params parameters, const testing::client_options& options);
  void hear(const client_message& message);
  std::string next_ref(const std::string& event);
  bool wait_until_ended(std::chrono::milliseconds timeout);

  std::shared_ptr<hub> pub_sub_;
  std::shared_ptr<test_inbox> inbox_ = std::make_shared<test_inbox>();
  const socket_type* type_ = nullptr;
  recording_transport* transport_ = nullptr;  // null: not connected
  socket_type::connected connected_;
};

}  // namespace roost::detail
