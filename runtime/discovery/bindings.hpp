// runtime/discovery/bindings.hpp
//
// What strategies need to know of the node that they run on, as functions, so that they run without
// one as well.
//
//   roost::discovery::local here({}, roost::discovery::node_bindings());
//
// Thread safety: the functions are called on the pool for blocking code, by several threads.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace roost::discovery {

struct bindings {
  std::function<std::string()> self;    // name@host; without @ or nonode@nohost: it has no name
  std::function<std::string()> cookie;  // never logged
  /// The nodes at the port mapper of a host: the parts before @. May block for some seconds, throws
  /// std::runtime_error when nobody answers there.
  std::function<std::vector<std::string>(const std::string& host)> names;
};

/// Those of runtime/distribution; `epmd_port` is that of port mappers, 0: $ERL_EPMD_PORT, else
/// 4369.
bindings node_bindings(std::uint16_t epmd_port = 0);

}  // namespace roost::discovery
