# roost_dashboard(TARGET)
#
# Bundles the page of the dashboard and puts it into TARGET, so that every program that has the
# library has the page. The result is a source file in the build directory.
set(ROOST_DASHBOARD_FILES
  icon.svg
  index.html
  package-lock.json
  sign_in.html
  src/chart.js
  src/console.js
  src/dashboard.css
  src/dom.js
  src/format.js
  src/history.js
  src/icons.js
  src/main.js
  src/process.js
  src/table.js
  src/views/alarms.js
  src/views/links.js
  src/views/log.js
  src/views/overview.js
  src/views/presence.js
  src/views/processes.js
  src/views/sockets.js
  src/views/supervisors.js
  src/views/tables.js)

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
  list(TRANSFORM ROOST_DASHBOARD_FILES PREPEND ${PROJECT_SOURCE_DIR}/${folder}/)
  add_custom_command(OUTPUT ${page}
    COMMAND ${ROOST_NODE} ${PROJECT_SOURCE_DIR}/${folder}/build.mjs ${page}
    DEPENDS ${ROOST_DASHBOARD_FILES} ${PROJECT_SOURCE_DIR}/${folder}/build.mjs
      ${PROJECT_SOURCE_DIR}/${folder}/node_modules
    COMMENT "Bundling the dashboard's page"
    VERBATIM)
  target_sources(${target} PRIVATE ${page})
  set_source_files_properties(${page} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
endfunction()
