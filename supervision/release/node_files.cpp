#include "supervision/release/node_files.hpp"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace roost::detail {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void unusable(const std::string& directory, const std::string& got) {
  throw config_error(
      "expected " + directory + " to be a directory that this user may write to, got " + got +
      " (RELEASE_TMP says where else)");
}

void make_private(const std::string& directory) {
  std::error_code error;
  auto parent = fs::path(directory).parent_path();
  if (!parent.empty()) fs::create_directories(parent, error);
  if (error) unusable(directory, '"' + error.message() + '"');
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    unusable(directory, '"' + std::generic_category().message(errno) + '"');
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    unusable(directory, "something else");
  bool trusted = info.st_uid == ::geteuid() || info.st_uid == 0 || ::geteuid() == 0;
  if (!trusted) unusable(directory, "one of user " + std::to_string(info.st_uid));
  if (::access(directory.c_str(), W_OK | X_OK) != 0)
    unusable(directory, '"' + std::generic_category().message(errno) + '"');
}

/// The first line of a pid file; empty while its owner is writing it.
std::string owner_of(int descriptor) {
  char text[32];
  auto size = ::pread(descriptor, text, sizeof text, 0);
  std::string_view found(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  return std::string(found.substr(0, found.find('\n')));
}

bool same_file(int descriptor, const std::string& file) {
  struct stat mine {};
  struct stat now {};
  return ::fstat(descriptor, &mine) == 0 && ::stat(file.c_str(), &now) == 0 &&
         mine.st_ino == now.st_ino && mine.st_dev == now.st_dev;
}

int open_locked(const std::string& file) {
  for (;;) {
    int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (descriptor < 0)
      throw config_error(
          "expected " + file + " to be a writable file, got \"" +
          std::generic_category().message(errno) + '"');
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      auto owner = owner_of(descriptor);
      ::close(descriptor);
      throw already_running(
          "expected no other node of this name to run, got process " +
          (owner.empty() ? "?" : owner) + " (" + file +
          "); --name or RELEASE_TMP set this one apart");
    }
    // The one before may have removed the file between our open and our lock.
    if (same_file(descriptor, file)) return descriptor;
    ::close(descriptor);
  }
}

}  // namespace

void node_files::prepare() const { make_private(directory_); }

void node_files::prepare_logs() const {
  prepare();
  make_private(directory_ + "/log");
}

node_lock::node_lock(std::string file) : file_(std::move(file)), descriptor_(open_locked(file_)) {
  auto text = std::to_string(::getpid()) + "\n";
  auto size = static_cast<ssize_t>(text.size());
  if (::ftruncate(descriptor_, 0) == 0 &&
      ::pwrite(descriptor_, text.data(), text.size(), 0) == size)
    return;
  auto reason = std::generic_category().message(errno);
  release();
  throw config_error("expected " + file_ + " to be written, got \"" + reason + '"');
}

void node_lock::release() {
  if (descriptor_ < 0) return;
  ::unlink(file_.c_str());
  ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace roost::detail
