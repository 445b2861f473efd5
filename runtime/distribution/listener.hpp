// private: the socket that other nodes connect to.
#pragma once
#include "runtime/scheduler.hpp"
#include <string>

namespace roost::detail {

class distribution;

class listener final : public io_handler {
 public:
  /// Throws std::runtime_error when the address cannot be listened on.
  listener(distribution& nodes, const std::string& address, std::uint16_t port);
  ~listener() override;

  std::uint16_t port() const noexcept { return port_; }
  void watch();  // from now on connections are taken
  int fd() const noexcept { return fd_; }
  worker& home() const noexcept { return home_; }

  void on_io(std::uint32_t events) override;

 private:
  void refuse_one();

  distribution& nodes_;
  worker& home_;
  int fd_ = -1;
  int spare_ = -1;  // given up to refuse a connection when there are no descriptors left
  std::uint16_t port_ = 0;
};

}  // namespace roost::detail
