// private: what waits to be sent on a link, and what has come in pieces. Pure: no sockets, no
// threads.
//
// Going out there are three lanes. Control frames overtake everything. Small messages go out in the
// order in which they came. A large message is cut into fragments, which take turns with each other
// and with the small ones, so that it delays nobody but later messages of the same two processes:
// those wait in its stream, in order.
//
// Which messages have to wait behind a large one? Those with the same sender and receiver; and, if
// either went to a registered name, every one of that sender, since a name may be anybody's. A
// message to a name therefore waits for all that its sender has in streams, in a stream of its own,
// and what comes after it joins it there. A large message in turn waits for the small ones that
// came before it.
//
// Thread safety: one thread at a time.
#pragma once
#include "runtime/distribution/frames.hpp"
#include <deque>
#include <list>
#include <map>

namespace roost::detail {

class outgoing_lanes {
 public:
  /// `largest_total`: how many bytes of large messages the other end puts together at a time.
  explicit outgoing_lanes(std::size_t largest_total = SIZE_MAX) : largest_total_(largest_total) {}

  void control(frame_type type, std::string_view body);

  /// The body of a signal frame, between two processes of which the receiver may be a name. A large
  /// one is moved from.
  void signal(pid from, pid to, wire_buffer& body);

  /// Bytes that wait, as frames.
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  /// Bytes of memory that small messages take.
  std::size_t capacity() const noexcept { return small_.capacity(); }

  /// Appends whole frames to `out`, about `limit` bytes of them.
  void take(std::string& out, std::size_t limit);

 private:
  struct stream {
    std::uint64_t serial = 0;  // newer ones have greater ones
    std::uint64_t after = 0;   // goes when so many small bytes have gone
    pid from;
    pid to;
    std::deque<wire_buffer> waiting;  // the first one is under way
    std::size_t sent = 0;             // of the first one
    bool open = false;                // a fragment of it has been sent
    std::uint16_t id = 0;             // while open
  };

  stream* newest_stream(pid from, pid to);
  stream& new_stream(pid from, pid to);
  void add_to(stream& stream, wire_buffer& body);
  void take_small(std::string& out, std::size_t limit);
  void forget_small();
  bool may_go(const stream& stream) const;
  bool is_oldest_of_sender(const stream& stream) const;
  std::uint16_t free_id();
  void open(stream& stream);
  void take_fragment(stream& stream, std::string& out);
  void take_next(stream& stream, std::string& out);
  void take_streams(std::string& out, std::size_t limit);

  std::size_t largest_total_;
  std::size_t size_ = 0;
  std::string control_;
  std::string small_;
  std::size_t small_taken_ = 0;   // of small_
  std::uint64_t small_put_ = 0;   // bytes, ever
  std::uint64_t small_gone_ = 0;  // bytes, ever
  std::list<stream> streams_;     // those that had a turn go to the end
  std::uint64_t last_serial_ = 0;
  std::uint16_t last_id_ = 0;
  std::size_t open_ = 0;
  std::size_t open_bytes_ = 0;
};

/// Puts fragments together.
class incoming_streams {
 public:
  explicit incoming_streams(std::size_t largest_total) : largest_total_(largest_total) {}

  /// Takes the body of a fragment frame; answers the body of the signal that it completes. Throws
  /// decode_error for fragments that do not fit together, or that come to more than the limit.
  std::optional<std::string> take(std::string_view fragment);

  std::size_t size() const noexcept { return size_; }

 private:
  struct stream {
    std::uint64_t total = 0;
    std::string bytes;
  };

  std::size_t largest_total_;
  std::map<std::uint16_t, stream> streams_;
  std::size_t size_ = 0;      // of what has come
  std::size_t promised_ = 0;  // of what was announced
};

}  // namespace roost::detail
