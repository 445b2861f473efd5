# roost_dashboard(TARGET)
#
# Bundles the page of the dashboard and puts it into TARGET, so that every program that has the
# library has the page. The result is a source file in the build directory.
function(roost_dashboard target)
  set(folder operations/dashboard/page)
  if(NOT ROOST_DASHBOARD)
    target_sources(${target} PRIVATE ${folder}/no_page.cpp)
    return()
  endif()
  find_program(ROOST_NODE NAMES node nodejs)
  if(NOT ROOST_NODE OR NOT EXISTS ${PROJECT_SOURCE_DIR}/${folder}/node_modules/esbuild)
    message(FATAL_ERROR
      "expected node and ${folder}/node_modules, which make the dashboard's page, got neither or one: "
      "run script/bootstrap, or configure with -DROOST_DASHBOARD=OFF")
  endif()
  set(page ${PROJECT_BINARY_DIR}/dashboard_page.cpp)
  list(TRANSFORM ARGN PREPEND ${PROJECT_SOURCE_DIR}/${folder}/)
  add_custom_command(OUTPUT ${page}
    COMMAND ${ROOST_NODE} ${PROJECT_SOURCE_DIR}/${folder}/build.mjs ${page}
    DEPENDS ${ARGN} ${PROJECT_SOURCE_DIR}/${folder}/build.mjs
      ${PROJECT_SOURCE_DIR}/${folder}/node_modules
    COMMENT "Bundling the dashboard's page"
    VERBATIM)
  target_sources(${target} PRIVATE ${page})
  set_source_files_properties(${page} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
endfunction()
