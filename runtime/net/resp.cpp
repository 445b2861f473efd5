#include "runtime/net/resp.hpp"
#include <hiredis/read.h>
#include <charconv>

namespace roost::net {

/// The value that hiredis is in the middle of. Its callbacks are called from C, so that nothing may
/// be thrown: null is how they say no.
struct resp_reader::building {
  resp_limits limits;
  resp_value root = {};
  std::size_t bytes = 0;
  std::size_t elements = 0;

  void restart() {
    root = {};
    bytes = 0;
    elements = 0;
  }

  static building& of(const redisReadTask* task) { return *static_cast<building*>(task->privdata); }

  /// Where the value goes. An array has all its elements from the beginning, so they do not move.
  static resp_value* place(const redisReadTask* task) {
    if (task->parent == nullptr) return &of(task).root;
    auto& elements = static_cast<resp_value*>(task->parent->obj)->elements;
    return &elements[static_cast<std::size_t>(task->idx)];
  }

  static void* text(const redisReadTask* task, char* begin, std::size_t size) noexcept try {
    auto& all = of(task);
    all.bytes += size;
    if (all.bytes > all.limits.max_bytes) return nullptr;
    auto* value = place(task);
    value->is = task->type == REDIS_REPLY_ERROR    ? resp_value::kind::error
                : task->type == REDIS_REPLY_STATUS ? resp_value::kind::status
                                                   : resp_value::kind::text;
    value->text.assign(begin, size);
    return value;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }

  static void* array(const redisReadTask* task, int size) noexcept try {
    auto& all = of(task);
    all.elements += static_cast<std::size_t>(size);
    if (all.elements > all.limits.max_elements) return nullptr;
    auto* value = place(task);
    value->is = resp_value::kind::array;
    value->elements.resize(static_cast<std::size_t>(size));
    return value;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }

  static void* integer(const redisReadTask* task, long long number) noexcept {
    auto* value = place(task);
    value->is = resp_value::kind::integer;
    value->integer = number;
    return value;
  }

  static void* nil(const redisReadTask* task) noexcept { return place(task); }

  static void free(void* /*value*/) noexcept {}  // it is part of `root`
};

namespace {

std::string reason_of(const redisReader& reader) {
  // hiredis has no other word for the callbacks' no.
  return reader.err == REDIS_ERR_OOM ? "a value beyond the limits" : reader.errstr;
}

}  // namespace

void resp_reader::close::operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }

resp_reader::resp_reader(resp_limits limits)
    : building_(std::make_unique<building>(building{.limits = limits})) {
  static redisReplyObjectFunctions functions{
      building::text, building::array, building::integer, building::nil, building::free};
  reader_.reset(redisReaderCreateWithFunctions(&functions));
  if (!reader_) throw std::bad_alloc();
  reader_->privdata = building_.get();
}

resp_reader::~resp_reader() = default;

void resp_reader::feed(std::string_view bytes) {
  if (redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) != REDIS_OK)
    throw resp_error("expected RESP, got " + reason_of(*reader_));
}

bool resp_reader::next(resp_value& value) {
  void* whole = nullptr;
  if (redisReaderGetReply(reader_.get(), &whole) != REDIS_OK)
    throw resp_error("expected RESP, got " + reason_of(*reader_));
  if (whole == nullptr) {
    if (reader_->len - reader_->pos > building_->limits.max_bytes)
      throw resp_error("expected RESP, got a value beyond the limits");
    return false;
  }
  value = std::move(building_->root);
  building_->restart();
  return true;
}

// --- commands ------------------------------------------------------------------------------------

namespace {

void append_number(std::string& out, char sign, std::size_t number) {
  char digits[20];
  auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out += sign;
  out.append(digits, end);
  out += "\r\n";
}

}  // namespace

void append_command(std::string& out, std::size_t words) { append_number(out, '*', words); }

void begin_word(std::string& out, std::size_t size) { append_number(out, '$', size); }

void end_word(std::string& out) { out += "\r\n"; }

void append_word(std::string& out, std::string_view word) {
  begin_word(out, word.size());
  out += word;
  end_word(out);
}

std::string resp_command(std::initializer_list<std::string_view> words) {
  std::string out;
  append_command(out, words.size());
  for (auto word : words) append_word(out, word);
  return out;
}

}  // namespace roost::net
