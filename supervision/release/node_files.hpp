// supervision/release/node_files.hpp — private.
//
// The files of a running node, in RELEASE_TMP, and the lock that makes it the only one of its name.
//
//   node_files files{release()};
//   files.prepare();
//   node_lock lock{files.pid_file()};   // throws already_running
//
// The lock is an flock on the pid file: the kernel gives it back however the node ends, so that
// what a killed node left behind is never taken for a node that runs.
//
// Errors: config_error for a directory that cannot be used.
// Thread safety: one thread at a time.
#pragma once
#include "supervision/release/environment.hpp"
#include <stdexcept>

namespace roost::detail {

class node_files {
 public:
  explicit node_files(const release_environment& release)
      : directory_(release.tmp), instance_(release.instance()) {}

  /// Creates the directory, for its owner only, if it is not there. Refuses one that somebody else
  /// owns, since files could be swapped there.
  void prepare() const;
  void prepare_logs() const;

  const std::string& directory() const { return directory_; }
  std::string pid_file() const { return place(".pid"); }
  std::string control_socket() const { return place(".sock"); }
  std::string dump() const { return place(".dump"); }
  std::string crash_report() const { return place(".crash"); }
  std::string log() const { return directory_ + "/log/" + instance_ + ".log"; }
  std::string output() const { return directory_ + "/log/" + instance_ + ".out"; }

 private:
  std::string place(const char* ending) const { return directory_ + "/" + instance_ + ending; }

  std::string directory_;
  std::string instance_;
};

class already_running : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Holds the pid file of this process.
class node_lock {
 public:
  explicit node_lock(std::string file);
  node_lock(const node_lock&) = delete;
  node_lock& operator=(const node_lock&) = delete;
  ~node_lock() { release(); }

  /// Removes the file.
  void release();

 private:
  std::string file_;
  int descriptor_ = -1;
};

}  // namespace roost::detail
