// Standard headers that most sources use, compiled once per large library. Every file still
// includes what it needs: public headers are also compiled alone, and so are all sources with
// -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>
