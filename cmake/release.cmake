# roost_release(TARGET [CONFIG file…] [SHARE folder…])
#
# Lets `cmake --install BUILD --component TARGET --prefix DIRECTORY` make a release: one directory that
# runs wherever the base libraries below are.
#
#   bin/TARGET
#   lib/…                             every shared library that it needs, but the base libraries
#   conf/…                            CONFIG
#   share/…                           the contents of each folder of SHARE
#   share/systemd/TARGET.service      a unit to begin with, and TARGET@.service for several nodes
#   releases/VERSION                  what `TARGET version` prints
#
# It is no part of a plain `cmake --install`.

# What every Debian 12 has, however small: libc6. The C++ library is not among them.
set(ROOST_BASE_LIBRARIES ld-linux libc libm libpthread libdl librt libresolv libutil libanl)

set(roost_release_units ${CMAKE_CURRENT_LIST_DIR})

function(roost_release target)
  cmake_parse_arguments(PARSE_ARGV 1 RELEASE "" "" "CONFIG;SHARE")
  if(RELEASE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "expected only known keywords, got ${RELEASE_UNPARSED_ARGUMENTS}")
  endif()
  set(part COMPONENT ${target} EXCLUDE_FROM_ALL)

  # DT_RPATH rather than DT_RUNPATH: the libraries in lib/ find each other by it as well.
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
  target_link_options(${target} PRIVATE -Wl,--disable-new-dtags)
  install(TARGETS ${target} RUNTIME_DEPENDENCY_SET ${target}_libraries
    RUNTIME DESTINATION bin ${part})
  list(JOIN ROOST_BASE_LIBRARIES "|" base)
  install(RUNTIME_DEPENDENCY_SET ${target}_libraries
    PRE_EXCLUDE_REGEXES "^(${base})[-.]"
    LIBRARY DESTINATION lib ${part})

  if(RELEASE_CONFIG)
    install(FILES ${RELEASE_CONFIG} DESTINATION conf ${part})
  endif()
  foreach(folder IN LISTS RELEASE_SHARE)
    install(DIRECTORY ${folder}/ DESTINATION share ${part})
  endforeach()
  set(name ${target})
  file(READ ${roost_release_units}/release.service.common common)
  set_property(DIRECTORY APPEND PROPERTY
    CMAKE_CONFIGURE_DEPENDS ${roost_release_units}/release.service.common)
  foreach(kind IN ITEMS "" "@")
    set(unit ${CMAKE_CURRENT_BINARY_DIR}/${target}${kind}.service)
    configure_file(${roost_release_units}/release${kind}.service.in ${unit} @ONLY)
    install(FILES ${unit} DESTINATION share/systemd ${part})
  endforeach()
  install(CODE "
    set(root \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\")
    file(MAKE_DIRECTORY \"\${root}/releases\")
    execute_process(COMMAND \"\${root}/bin/${target}\" version
      OUTPUT_FILE \"\${root}/releases/VERSION\" COMMAND_ERROR_IS_FATAL ANY)" ${part})
endfunction()
