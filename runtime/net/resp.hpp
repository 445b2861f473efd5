// private: Redis' protocol, RESP 2, read by hiredis' parser.
//
//   auto bytes = roost::net::resp_command({"SUBSCRIBE", "news"});
//   reader.feed(what_came);
//   for (resp_value value; reader.next(value);) …       // value.elements[0].text is "subscribe"
//
// What comes is not trusted: a value of more than max_bytes or max_elements, or nested deeper than
// hiredis goes (7), is a resp_error like any other malformed one. After an error the reader is of
// no use any more, as nobody knows where the next value begins.
//
// Thread safety: one thread at a time. Source: the Redis serialization protocol; hiredis, read.h.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct redisReader;

namespace roost::net {

struct resp_value {
  enum class kind { nil, text, status, error, integer, array };
  kind is = kind::nil;
  std::string text = {};  // of text, status and error
  std::int64_t integer = 0;
  std::vector<resp_value> elements = {};
  friend bool operator==(const resp_value&, const resp_value&) = default;
};

class resp_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct resp_limits {
  std::size_t max_bytes = 64U << 20U;  // of one value, with its framing
  std::size_t max_elements = 4096;     // in all arrays of one value
};

class resp_reader {
 public:
  explicit resp_reader(resp_limits limits = {});
  resp_reader(const resp_reader&) = delete;
  resp_reader& operator=(const resp_reader&) = delete;
  ~resp_reader();

  void feed(std::string_view bytes);
  /// Answers whether there was a whole value.
  bool next(resp_value& value);

 private:
  struct building;
  struct close { void operator()(redisReader* reader) const noexcept; };
  std::unique_ptr<building> building_;  // outlives the reader, which points to it
  std::unique_ptr<redisReader, close> reader_;
};

/// Appends a command of `words` words, which append_word then adds.
void append_command(std::string& out, std::size_t words);
void append_word(std::string& out, std::string_view word);
/// Appends only a word's beginning; `size` bytes and end_word have to follow.
void begin_word(std::string& out, std::size_t size);
void end_word(std::string& out);

std::string resp_command(std::initializer_list<std::string_view> words);

}  // namespace roost::net
