// private: what a worker's sockets report to, and the set of those that have no hurry.
#pragma once
#include <cstdint>

namespace roost::detail {

/// Something that an epoll set reports to, on its worker's thread.
class io_handler {
 public:
  /// Patient ones have a few turns after all others: who comes or goes does not hold up who stays,
  /// however many do at once.
  enum class manner : bool { prompt, patient };

  explicit io_handler(manner how = manner::prompt) noexcept : manner_(how) {}
  virtual ~io_handler() = default;
  virtual void on_io(std::uint32_t events) = 0;

  bool is_patient() const noexcept { return manner_ == manner::patient; }

 private:
  friend class worker;
  manner manner_;
};

/// The patient ones: an epoll set of their own, which the worker's set watches like a socket.
class patient_set final : public io_handler {
 public:
  patient_set();
  patient_set(const patient_set&) = delete;
  patient_set& operator=(const patient_set&) = delete;
  ~patient_set() override;
  int fd() const noexcept { return epoll_; }
  void on_io(std::uint32_t events) override;

 private:
  int epoll_;
  std::uint64_t served_ = 0;  // ns, when they had their last turn
};

}  // namespace roost::detail
