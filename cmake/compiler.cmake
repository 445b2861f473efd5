# How everything is compiled: language, warnings, debug information, sanitizers, faster builds.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Kind of build" FORCE)
endif()

set(CMAKE_COMPILE_WARNING_AS_ERROR ${ROOST_WERROR})
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow=local -Wnon-virtual-dtor)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 sees overlapping copies in `"text" + std::to_string(n)` (GCC bug 105651).
  add_compile_options(-Wno-restrict)
endif()

# Neither debug information nor __FILE__ may say where somebody built this. What remains is relative
# to the repository, so a debugger started there finds the sources. The last option given wins.
add_compile_options(
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=
  -ffile-prefix-map=${PROJECT_BINARY_DIR}=build)

# What the sanitizers add to the code makes g++ see uninitialised values, and copies past the end of
# short strings, where there are none.
if(NOT ROOST_SANITIZE STREQUAL none)
  add_compile_options(-Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overflow)
endif()
if(ROOST_SANITIZE STREQUAL address)
  add_compile_options(-fsanitize=address,undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(ROOST_SANITIZE STREQUAL thread)
  # Asio uses fences, which the thread sanitizer does not model and g++ therefore warns about.
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer -Wno-tsan)
  add_link_options(-fsanitize=thread)
elseif(NOT ROOST_SANITIZE STREQUAL none)
  message(FATAL_ERROR
    "expected ROOST_SANITIZE to be none, address or thread, got ${ROOST_SANITIZE}")
endif()

find_program(ROOST_CCACHE ccache)
if(ROOST_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Without these allowances ccache does not cache anything that uses a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    ${ROOST_CCACHE})
  add_compile_options(-fpch-preprocess)
endif()

find_program(ROOST_MOLD mold)
if(ROOST_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
add_link_options(-Wl,--as-needed)
