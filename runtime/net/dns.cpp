#include "runtime/net/dns.hpp"
#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

namespace roost::net {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int tries = 3;  // of each server, each twice as patient as the one before

void check(int status, std::string_view doing) {
  if (status != ARES_SUCCESS)
    throw dns_error("expected " + std::string(doing) + ", got " + ares_strerror(status));
}

void initialize_library() {
  static std::once_flag once;
  std::call_once(once, [] { check(ares_library_init(ARES_LIB_INIT_ALL), "c-ares to start"); });
}

/// Sockets and settings of one question. Made anew each time, so that changes of resolv.conf count.
class channel {
 public:
  explicit channel(const dns_question& question) {
    initialize_library();
    ares_options options{};
    auto path = question.resolv_conf;
    options.resolvconf_path = path.data();
    // 1 + 2 + 4 of these: the last try ends with the time that is given.
    options.timeout = std::max(1, static_cast<int>(question.timeout.count() / 7));
    options.tries = tries;
    check(
        ares_init_options(
            &ares_, &options, ARES_OPT_RESOLVCONF | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES),
        "to read " + question.resolv_conf);
    try {
      if (!question.server.empty())
        check(
            ares_set_servers_ports_csv(ares_, question.server.c_str()),
            "the server " + question.server + " to be address:port");
      read_search();
    } catch (...) {
      ares_destroy(ares_);
      throw;
    }
  }
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;
  ~channel() { ares_destroy(ares_); }

  struct reply {
    int status = ARES_ETIMEOUT;
    std::vector<unsigned char> bytes;
  };

  reply ask(const std::string& name, int type, clock::time_point deadline) {
    // Shared, because c-ares calls back once more when the channel goes while it still waits.
    auto answer = std::make_shared<std::optional<reply>>();
    ares_query(
        ares_, name.c_str(), ns_c_in, type, take,
        new std::shared_ptr<std::optional<reply>>(answer));
    while (!*answer && clock::now() < deadline) wait(deadline);
    if (!*answer) ares_cancel(ares_);
    return answer->value_or(reply{});
  }

  struct addresses {
    int status = ARES_ETIMEOUT;
    std::vector<std::string> found;
  };

  addresses resolve(const std::string& host, clock::time_point deadline) {
    auto answer = std::make_shared<std::optional<addresses>>();
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    ares_getaddrinfo(
        ares_, host.c_str(), nullptr, &hints, take_addresses,
        new std::shared_ptr<std::optional<addresses>>(answer));
    while (!*answer && clock::now() < deadline) wait(deadline);
    if (!*answer) ares_cancel(ares_);
    return answer->value_or(addresses{});
  }

  /// The full names to try, as resolv.conf has it.
  std::vector<std::string> candidates(const std::string& name) const {
    if (name.ends_with('.')) return {name};
    std::vector<std::string> names;
    for (auto& domain : domains_) names.push_back(name + "." + domain);
    auto has_enough_dots = std::count(name.begin(), name.end(), '.') >= ndots_;
    names.insert(has_enough_dots ? names.begin() : names.end(), name);
    return names;
  }

 private:
  static void take(void* argument, int status, int, unsigned char* bytes, int size) {
    std::unique_ptr<std::shared_ptr<std::optional<reply>>> answer(
        static_cast<std::shared_ptr<std::optional<reply>>*>(argument));
    if (status == ARES_ECANCELLED || status == ARES_EDESTRUCTION) status = ARES_ETIMEOUT;
    auto& result = (*answer)->emplace();
    result.status = status;
    if (bytes != nullptr) result.bytes.assign(bytes, bytes + size);
  }

  static void take_addresses(void* argument, int status, int, ares_addrinfo* list) {
    std::unique_ptr<std::shared_ptr<std::optional<addresses>>> answer(
        static_cast<std::shared_ptr<std::optional<addresses>>*>(argument));
    if (status == ARES_ECANCELLED || status == ARES_EDESTRUCTION) status = ARES_ETIMEOUT;
    auto& result = (*answer)->emplace();
    result.status = status;
    if (list == nullptr) return;
    for (auto* node = list->nodes; node != nullptr; node = node->ai_next) {
      char text[NI_MAXHOST];
      if (::getnameinfo(
              node->ai_addr, node->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0)
        result.found.emplace_back(text);
    }
    ares_freeaddrinfo(list);
  }

  void wait(clock::time_point deadline) {
    std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
    auto wishes = ares_getsock(ares_, sockets.data(), static_cast<int>(sockets.size()));
    std::array<pollfd, ARES_GETSOCK_MAXNUM> polled{};
    nfds_t count = 0;
    for (unsigned i = 0; i < sockets.size(); ++i) {
      short events = 0;
      if (ARES_GETSOCK_READABLE(wishes, i)) events |= POLLIN;
      if (ARES_GETSOCK_WRITABLE(wishes, i)) events |= POLLOUT;
      if (events != 0) polled[count++] = {sockets[i], events, 0};
    }
    ::poll(polled.data(), count, patience(deadline));
    process(polled.data(), count);
  }

  int patience(clock::time_point deadline) {
    auto left = std::chrono::ceil<milliseconds>(deadline - clock::now()).count();
    timeval limit{left / 1000, static_cast<suseconds_t>(left % 1000 * 1000)};
    timeval storage{};
    auto* next = ares_timeout(ares_, &limit, &storage);
    return static_cast<int>(next->tv_sec * 1000 + (next->tv_usec + 999) / 1000);
  }

  void process(const pollfd* polled, nfds_t count) {
    bool something = false;
    for (nfds_t i = 0; i < count; ++i) {
      if (polled[i].revents == 0) continue;
      something = true;
      bool readable = (polled[i].revents & ~POLLOUT) != 0;
      bool writable = (polled[i].revents & POLLOUT) != 0;
      ares_process_fd(
          ares_, readable ? polled[i].fd : ARES_SOCKET_BAD,
          writable ? polled[i].fd : ARES_SOCKET_BAD);
    }
    // Timers only.
    if (!something) ares_process_fd(ares_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  }

  void read_search() {
    ares_options options{};
    int mask = 0;
    check(ares_save_options(ares_, &options, &mask), "to read the search domains");
    ndots_ = options.ndots;
    for (int i = 0; i < options.ndomains; ++i)
      if (std::string domain = options.domains[i]; !domain.empty() && domain != ".")
        domains_.push_back(std::move(domain));
    ares_destroy_options(&options);
  }

  ares_channel ares_ = nullptr;
  std::vector<std::string> domains_;
  long ndots_ = 1;
};

int number_of(dns_type type) {
  switch (type) {
    case dns_type::a:
      return ns_t_a;
    case dns_type::aaaa:
      return ns_t_aaaa;
    case dns_type::srv:
      return ns_t_srv;
  }
  return ns_t_a;
}

template <class T>
struct ares_deleter {
  void operator()(T* data) const { ares_free_data(data); }
};
struct host_deleter {
  void operator()(hostent* host) const { ares_free_hostent(host); }
};

std::vector<dns_record> addresses_in(const channel::reply& reply, dns_type type) {
  hostent* found = nullptr;
  auto size = static_cast<int>(reply.bytes.size());
  auto status = type == dns_type::a
                    ? ares_parse_a_reply(reply.bytes.data(), size, &found, nullptr, nullptr)
                    : ares_parse_aaaa_reply(reply.bytes.data(), size, &found, nullptr, nullptr);
  if (status == ARES_ENODATA) return {};  // a CNAME that leads to nothing of this type
  check(status, "an answer that can be read");
  std::unique_ptr<hostent, host_deleter> host(found);
  std::vector<dns_record> records;
  for (char** address = host->h_addr_list; *address != nullptr; ++address) {
    char text[64];
    if (ares_inet_ntop(host->h_addrtype, *address, text, sizeof text) != nullptr)
      records.push_back({.host = text});
  }
  return records;
}

std::vector<dns_record> targets_in(const channel::reply& reply) {
  ares_srv_reply* found = nullptr;
  auto status =
      ares_parse_srv_reply(reply.bytes.data(), static_cast<int>(reply.bytes.size()), &found);
  if (status == ARES_ENODATA) return {};
  check(status, "an answer that can be read");
  std::unique_ptr<ares_srv_reply, ares_deleter<ares_srv_reply>> first(found);
  std::vector<dns_record> records;
  for (auto* each = found; each != nullptr; each = each->next) {
    std::string host = each->host;
    if (host.ends_with('.')) host.pop_back();
    // RFC 2782: the target `.` says that the service is not available.
    if (host.empty()) continue;
    records.push_back({std::move(host), each->port, each->priority, each->weight});
  }
  return records;
}

std::string reason_of(int status) {
  // c-ares goes to the next server after a refusal or a failure of one, and then forgets which it
  // was.
  if (status == ARES_ECONNREFUSED) return "a refusal, a failure or nobody there";
  if (status == ARES_ETIMEOUT) return "silence";
  return ares_strerror(status);
}

dns_error unanswered(const dns_question& question, const std::string& name, int status) {
  static constexpr std::array<std::string_view, 3> types{"A", "AAAA", "SRV"};
  auto where = question.server.empty() ? "the name servers" : question.server;
  auto type = std::string(types[static_cast<std::size_t>(question.type)]);
  return dns_error(
      "expected " + where + " to answer about " + name + " (" + type + "), got " +
      reason_of(status));
}

}  // namespace

dns_answer ask_dns(const dns_question& question) {
  if (question.name.empty() || question.name.find('\0') != std::string::npos)
    throw dns_error("expected the name in a question to be that of a host, got none");
  auto deadline = clock::now() + question.timeout;
  channel channel(question);
  dns_answer answer;
  answer.name_exists = false;
  std::optional<dns_error> failure;
  for (auto& name : channel.candidates(question.name)) {
    auto reply = channel.ask(name, number_of(question.type), deadline);
    if (reply.status == ARES_SUCCESS) {
      answer.name_exists = true;
      answer.records =
          question.type == dns_type::srv ? targets_in(reply) : addresses_in(reply, question.type);
      if (!answer.records.empty()) return answer;
    } else if (reply.status == ARES_ENODATA) {
      answer.name_exists = true;
    } else if (reply.status != ARES_ENOTFOUND && !failure) {
      failure = unanswered(question, name, reply.status);
    }
  }
  // Nobody may be told to be gone because somebody could not be asked.
  if (failure) throw *failure;
  return answer;
}

std::vector<std::string> addresses_of(const dns_question& question) {
  auto deadline = clock::now() + question.timeout;
  auto addresses = channel(question).resolve(question.name, deadline);
  if (addresses.status == ARES_SUCCESS && !addresses.found.empty()) return addresses.found;
  auto nobody = addresses.status == ARES_SUCCESS || addresses.status == ARES_ENODATA ||
                addresses.status == ARES_ENOTFOUND;
  throw dns_error(
      "expected the host " + question.name + " to have an address, got " +
      (nobody ? std::string("none") : reason_of(addresses.status)));
}

}  // namespace roost::net
