# `cmake --install` gives other projects find_package(roost) and the targets roost::operations,
# roost::channels, roost::supervision, roost::distribution and roost::runtime, and the function
# roost_release. Private headers are not part of it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/roost)

get_property(libraries GLOBAL PROPERTY ROOST_LIBRARIES)
install(TARGETS ${libraries} EXPORT roost
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/roost)
install(EXPORT roost NAMESPACE roost:: FILE roostTargets.cmake DESTINATION ${package_dir})

configure_package_config_file(cmake/roostConfig.cmake.in ${PROJECT_BINARY_DIR}/roostConfig.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/roostConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/roostConfig.cmake
  ${PROJECT_BINARY_DIR}/roostConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/FindCAF.cmake
  ${PROJECT_SOURCE_DIR}/cmake/release.cmake
  ${PROJECT_SOURCE_DIR}/cmake/release.service.common
  ${PROJECT_SOURCE_DIR}/cmake/release.service.in
  ${PROJECT_SOURCE_DIR}/cmake/release@.service.in
  DESTINATION ${package_dir})
