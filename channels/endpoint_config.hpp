// private: what an endpoint is told, by code and by the configuration, and whether it can be.
#pragma once
#include "channels/endpoint.hpp"
#include "channels/transport/handshake.hpp"

namespace roost::detail {

/// The configuration's section overrides numbers, addresses and files, never types.
void apply_configuration(endpoint_spec& spec);

/// Throws std::invalid_argument with one sentence.
void validate(const endpoint_spec& spec);

/// Nothing: a function decides. Throws std::invalid_argument for a bad entry of a list.
std::optional<origin_rules> rules_of(const origin_check& check);

}  // namespace roost::detail
