// private: the process of one client's connection. Routes the client's messages to the channels
// that it has joined, starts and ends those, and answers what concerns no channel.
//
// Everything of a client lives on one worker: the connection calls the process directly, as the
// process, and channels write to the connection directly.
#pragma once
#include "channels/channel_state.hpp"
#include "channels/debug.hpp"
#include "channels/transport/frame_codec.hpp"
#include "runtime/process_core.hpp"

namespace roost::detail {

class admission;
struct endpoint_context;

/// The transport of a socket, which the process may close.
class transport : public outlet {
 public:
  using outlet::outlet;
  virtual void close(close_code code, std::string_view reason) = 0;
  /// Ends the connection as soon as possible, without a close frame.
  virtual void abort() = 0;
  /// A message that the process itself does not know. Answers whether it was for the transport.
  virtual bool on_message(message&) { return false; }
  /// Reads no more messages until released: the process is busy with one.
  /// … and gives the message away. Nothing: the transport cannot wait.
  virtual std::optional<std::vector<char>> hold(std::string_view /*message*/) {
    return std::nullopt;
  }
  virtual void release_hold() {}
};

class socket_process final : public behavior {
 public:
  struct request {
    const socket_mount* mount;
    std::shared_ptr<const endpoint_context> endpoint;
    roost::params params;
    connect_info info;
    std::string* refusal = nullptr;  // told why, if it is refused
  };

  explicit socket_process(request request);
  ~socket_process() override;

  init_outcome init() override;
  void handle(message& message) override;
  std::string_view initial_call() const noexcept override;

  // Called by the connection, as this process.
  void attach(local_ptr<transport> transport);
  void on_text(std::string_view frame);  // may go on after it has returned: see hold()
  void on_binary(std::string_view frame);
  void transport_closed(close_code code);

  const socket_options& options() const noexcept { return mount_->options; }
  detail::admission& admission() const noexcept;
  const endpoint_context& endpoint() const noexcept { return *endpoint_; }
  process& core() noexcept { return *core_; }
  std::optional<std::string> id() const { return id_ ? std::optional(*id_) : std::nullopt; }
  std::vector<debug::channel_details> channels() const;
  pid channel(std::string_view topic) { return find(topic) ? find(topic)->channel : pid{}; }

 private:
  struct waiting_join {
    std::string join_ref;
    std::string ref;
    roost::payload params;
  };
  /// What only an entry has whose channel is leaving or is replaced by the next.
  struct change {
    std::optional<waiting_join> next;      // joins when the present channel has ended
    std::optional<std::string> close_old;  // join_ref of the replaced channel, told after the reply
    std::vector<client_event> late;        // came after phx_leave
  };
  struct entry {
    std::string topic;
    std::string join_ref;
    pid channel;
    std::unique_ptr<detail::socket_process::change> change;
    enum class state : std::uint8_t { joining, joined, leaving, replacing } state = state::joining;

    detail::socket_process::change& changing() {
      if (!change) change = std::make_unique<detail::socket_process::change>();
      return *change;
    }
  };
  struct late_join {
    pid channel;
    std::string join_ref;
    std::string ref;
  };
  struct join_timed_out { pid channel; };

  entry* find(std::string_view topic);
  entry* find(pid channel);
  void erase(const entry& entry);

  void dispatch(const incoming& message);
  bool decode_elsewhere(std::string_view frame);
  void on_phoenix(const incoming& message);
  void on_join(const incoming& message);
  void to_channel(entry& entry, const incoming& message);
  void start_channel(entry& entry, waiting_join join, const channel_type& type);
  void close_replaced(entry& entry);
  void on_ended(const channel_ended& ended);
  void on_joined(const channel_joined& joined);
  void answer_late(const entry& entry);

  void reply(
      std::string_view join_ref, std::string_view ref, wire_topic topic, std::string_view status,
      const payload& response);
  void write_end(std::string_view join_ref, std::string_view topic, std::string_view event);
  void malformed_frame(const malformed& what);

  std::unique_ptr<request> request_;  // until it is accepted
  const socket_mount* mount_;
  std::shared_ptr<const endpoint_context> endpoint_;
  std::string address_;  // that the endpoint has counted it for
  process* core_ = nullptr;
  local_ptr<transport> transport_;
  std::shared_ptr<const void> assigns_;
  std::unique_ptr<const std::string> id_;
  std::vector<entry> entries_;
  std::vector<late_join> late_joins_;  // not answered yet
  const char* end_ = "closed";         // what the channels are told
};

}  // namespace roost::detail
