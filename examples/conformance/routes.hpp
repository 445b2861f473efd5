// Plain HTTP: health, statistics, and a broadcast from outside any channel.
#pragma once
#include "channels/endpoint.hpp"

namespace conformance {

std::vector<roost::http_route> routes();

}  // namespace conformance
