# Finds CAF, the C++ Actor Framework, which Debian ships without a CMake package.
#
#   find_package(CAF 0.17.6...<0.18 REQUIRED COMPONENTS core io openssl)
#
# Imported targets: CAF::core, CAF::io, CAF::openssl (each for the component of that name).
# Variables: CAF_FOUND, CAF_VERSION, CAF_INCLUDE_DIR and CAF_<component>_LIBRARY.

find_path(CAF_INCLUDE_DIR NAMES caf/config.hpp)
mark_as_advanced(CAF_INCLUDE_DIR)

unset(CAF_VERSION)
if(CAF_INCLUDE_DIR)
  # The header says `#define CAF_VERSION 1706` for 0.17.6.
  file(STRINGS "${CAF_INCLUDE_DIR}/caf/config.hpp" _caf_line REGEX "^#define CAF_VERSION [0-9]+")
  if(_caf_line MATCHES "([0-9]+)$")
    math(EXPR _caf_major "${CMAKE_MATCH_1} / 10000")
    math(EXPR _caf_minor "${CMAKE_MATCH_1} / 100 % 100")
    math(EXPR _caf_patch "${CMAKE_MATCH_1} % 100")
    set(CAF_VERSION ${_caf_major}.${_caf_minor}.${_caf_patch})
  endif()
endif()

if(NOT CAF_FIND_COMPONENTS)
  set(CAF_FIND_COMPONENTS core)
endif()
foreach(_caf_component IN LISTS CAF_FIND_COMPONENTS)
  find_library(CAF_${_caf_component}_LIBRARY NAMES caf_${_caf_component})
  mark_as_advanced(CAF_${_caf_component}_LIBRARY)
  if(CAF_INCLUDE_DIR AND CAF_${_caf_component}_LIBRARY)
    set(CAF_${_caf_component}_FOUND TRUE)
  endif()
endforeach()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CAF
  REQUIRED_VARS CAF_INCLUDE_DIR
  VERSION_VAR CAF_VERSION
  HANDLE_VERSION_RANGE
  HANDLE_COMPONENTS)

if(CAF_FOUND)
  set(_caf_needs_core Threads::Threads)
  set(_caf_needs_io CAF::core)
  set(_caf_needs_openssl CAF::io OpenSSL::SSL OpenSSL::Crypto)
  include(CMakeFindDependencyMacro)
  find_dependency(Threads)
  if("openssl" IN_LIST CAF_FIND_COMPONENTS)
    find_dependency(OpenSSL)
  endif()

  foreach(_caf_component IN LISTS CAF_FIND_COMPONENTS)
    if(CAF_${_caf_component}_FOUND AND NOT TARGET CAF::${_caf_component})
      add_library(CAF::${_caf_component} UNKNOWN IMPORTED)
      set_target_properties(CAF::${_caf_component} PROPERTIES
        IMPORTED_LOCATION "${CAF_${_caf_component}_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${CAF_INCLUDE_DIR}"
        INTERFACE_LINK_LIBRARIES "${_caf_needs_${_caf_component}}")
    endif()
  endforeach()
endif()
