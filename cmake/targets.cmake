# The functions that declare libraries, examples and benchmarks. Sources are named one by one, as
# paths from the root of the repository.

# roost_library(NAME [ABOVE target] SOURCES … PUBLIC_HEADERS … [PRIVATE_HEADERS …]
#               [LINKS target…] [HEADER_ONLY target…])
#
# Declares the library of one folder as roost::NAME. ABOVE is the layer below, which users of this
# layer get too. Third-party libraries stay private; those that have nothing to link are HEADER_ONLY.
function(roost_library name)
  cmake_parse_arguments(PARSE_ARGV 1 LIB
    "" "ABOVE" "SOURCES;PUBLIC_HEADERS;PRIVATE_HEADERS;LINKS;HEADER_ONLY")
  roost_no_leftovers("${LIB_UNPARSED_ARGUMENTS}")

  set(target roost_${name})
  add_library(${target} STATIC ${LIB_SOURCES} ${LIB_PRIVATE_HEADERS})
  add_library(roost::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES
    EXPORT_NAME ${name}
    POSITION_INDEPENDENT_CODE ON
    VERIFY_INTERFACE_HEADER_SETS ON)
  target_compile_features(${target} PUBLIC cxx_std_20)

  # The repository is the include root here, and include/roost once installed: the same #include
  # lines work in both places.
  target_sources(${target} PUBLIC
    FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${LIB_PUBLIC_HEADERS})

  # Precompiling takes two seconds and saves three or four tenths per source.
  list(LENGTH LIB_SOURCES count)
  if(count GREATER 7)
    target_precompile_headers(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/precompiled.hpp)
  endif()

  target_link_libraries(${target} PUBLIC ${LIB_ABOVE} PRIVATE ${LIB_LINKS})
  foreach(library IN LISTS LIB_HEADER_ONLY)
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:${library}>)
  endforeach()
  # Executables export their symbols, so that a backtrace in a crash report has names.
  target_link_options(${target} INTERFACE -rdynamic)

  set_property(GLOBAL APPEND PROPERTY ROOST_LIBRARIES ${target})
  set_property(GLOBAL APPEND PROPERTY ROOST_PUBLIC_HEADERS ${LIB_PUBLIC_HEADERS})
endfunction()

# roost_example(NAME SOURCES … LINKS … [CONFIG file])
#
# CONFIG is copied to conf/ of the build directory, where the program finds it from anywhere.
function(roost_example name)
  cmake_parse_arguments(PARSE_ARGV 1 EXAMPLE "" "CONFIG" "SOURCES;LINKS")
  roost_no_leftovers("${EXAMPLE_UNPARSED_ARGUMENTS}")
  add_executable(${name} ${EXAMPLE_SOURCES})
  target_link_libraries(${name} PRIVATE ${EXAMPLE_LINKS})
  if(EXAMPLE_CONFIG)
    roost_copies(${name} TO conf FILES ${EXAMPLE_CONFIG})
  endif()
endfunction()

# roost_copies(TARGET TO folder FILES …)
#
# Keeps copies of files, which the target needs when it runs, in a folder of the build directory.
function(roost_copies target)
  cmake_parse_arguments(PARSE_ARGV 1 COPIES "" "TO" "FILES")
  roost_no_leftovers("${COPIES_UNPARSED_ARGUMENTS}")
  foreach(file IN LISTS COPIES_FILES)
    get_filename_component(name ${file} NAME)
    set(copy ${PROJECT_BINARY_DIR}/${COPIES_TO}/${name})
    add_custom_command(OUTPUT ${copy}
      COMMAND ${CMAKE_COMMAND} -E copy ${PROJECT_SOURCE_DIR}/${file} ${copy}
      DEPENDS ${PROJECT_SOURCE_DIR}/${file}
      COMMENT "Copying ${file}"
      VERBATIM)
    list(APPEND copies ${copy})
  endforeach()
  target_sources(${target} PRIVATE ${copies})
endfunction()

# roost_bench(SUITE SOURCES … LINKS …)
#
# Declares bench_SUITE, which script/bench finds by its name. It takes --json FILE. Benchmarks are
# built on demand only, since their peers are not needed for anything else.
function(roost_bench suite)
  cmake_parse_arguments(PARSE_ARGV 1 BENCH "" "" "SOURCES;LINKS")
  roost_no_leftovers("${BENCH_UNPARSED_ARGUMENTS}")
  add_executable(bench_${suite} EXCLUDE_FROM_ALL ${BENCH_SOURCES})
  target_link_libraries(bench_${suite} PRIVATE ${BENCH_LINKS})
endfunction()

# A misspelt keyword would otherwise turn into one more source, or into nothing.
function(roost_no_leftovers leftovers)
  if(leftovers)
    message(FATAL_ERROR "expected only known keywords, got ${leftovers}")
  endif()
endfunction()
