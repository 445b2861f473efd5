// runtime/discovery/hosts_file.hpp
//
// Every roost node of the hosts that the file .hosts.erlang lists, one a line:
//
//   'a.example.com'.
//   'b.example.com'.     % a comment
//
//   std::make_shared<roost::discovery::hosts_file>({}, roost::discovery::node_bindings());
//
// The file is looked for in the working directory, the home directory ($HOME) and the directory of
// the release ($RELEASE_ROOT), in this order; the first one that exists counts, and is read anew at
// each look. Hosts where no port mapper answers are left out; a look fails when there is no file,
// when it cannot be read, or when none of the hosts answers. Hosts are asked 16 at a time.
//
// Start it with disconnect_vanished = false, as `local`. Source: libcluster's
// Cluster.Strategy.ErlangHosts, OTP's net_adm:host_file/0.
#pragma once
#include "runtime/discovery/bindings.hpp"
#include "runtime/discovery/strategy.hpp"

namespace roost::discovery {

class hosts_file final : public strategy {
 public:
  struct options {
    // libcluster looks once unless this is given; nodes come later too.
    std::chrono::milliseconds timeout = std::chrono::milliseconds(5000);
    std::vector<std::string> directories = {};  // instead of those above
  };

  hosts_file(options options, bindings node);
  std::string_view name() const noexcept override { return "hosts_file"; }
  std::vector<std::string> look() override;
  std::chrono::milliseconds interval() const noexcept override { return options_.timeout; }

 private:
  options options_;
  bindings node_;
};

/// The hosts in the text of such a file. Throws std::runtime_error, naming the line.
std::vector<std::string> parse_hosts(std::string_view text);

}  // namespace roost::discovery
