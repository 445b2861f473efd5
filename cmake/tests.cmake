# The functions that declare tests, checks, expected compile errors and fuzzers.
#
# Labels: `unit` runs under the sanitizers too, `build` checks the build itself, `slow` and `browser`
# are left out by `script/test --quick`, `long` runs with `script/test --long` only, `alone` runs while
# no other test does.
#
# Tests run in the root of the repository and find the executables in $ROOST_BIN_DIR.
if(NOT ROOST_TESTS)
  return()
endif()

find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)

# doctest's main takes a while to compile, so it is compiled once.
add_library(roost_test_main OBJECT tests/support.cpp)
target_include_directories(roost_test_main PUBLIC ${PROJECT_SOURCE_DIR})
target_link_libraries(roost_test_main PRIVATE roost::runtime)
add_custom_target(unit_tests COMMENT "Everything that the tests labelled unit need")

# A sanitized program may take several times longer, and so may a busy machine.
set(ROOST_TEST_TIMEOUT 60)
if(NOT ROOST_SANITIZE STREQUAL none)
  set(ROOST_TEST_TIMEOUT 300)
endif()
set(ROOST_SLOW_TIMEOUT 1800)

# roost_test(NAME FOLDER SOURCES … LINKS … LABELS …)
#
# Declares a doctest program. Each TEST_CASE becomes a test of its own, in a process of its own, named
# `FOLDER/FILE: title`. TEST_CASE("…" * doctest::test_suite("slow")) adds the label `slow` to it.
function(roost_test name folder)
  cmake_parse_arguments(PARSE_ARGV 2 TEST "" "" "SOURCES;LINKS;LABELS")
  roost_no_leftovers("${TEST_UNPARSED_ARGUMENTS}")
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PRIVATE roost_test_main ${TEST_LINKS})
  if("unit" IN_LIST TEST_LABELS)
    add_dependencies(unit_tests ${name})
  endif()

  # CTest asks the program for its cases when it starts. Asking at build time would run programs
  # there, and the thread sanitizer's do not start everywhere without help (see script/test).
  set(cases ${PROJECT_BINARY_DIR}/tests/${name}.cmake)
  file(GENERATE OUTPUT ${cases} CONTENT
"set(program [==[$<TARGET_FILE:${name}>]==])
set(folder [==[${folder}]==])
set(labels [==[${TEST_LABELS}]==])
set(source_dir [==[${PROJECT_SOURCE_DIR}]==])
set(timeout ${ROOST_TEST_TIMEOUT})
set(slow_timeout ${ROOST_SLOW_TIMEOUT})
include([==[${PROJECT_SOURCE_DIR}/cmake/doctest_cases.cmake]==])
")
  set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY TEST_INCLUDE_FILES ${cases})
endfunction()

# roost_check(NAME LABELS … COMMAND …)
#
# Declares any other command as a test.
function(roost_check name)
  cmake_parse_arguments(PARSE_ARGV 1 CHECK "" "" "LABELS;COMMAND")
  roost_no_leftovers("${CHECK_UNPARSED_ARGUMENTS}")
  add_test(NAME ${name} COMMAND ${CHECK_COMMAND} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES
    LABELS "${CHECK_LABELS}"
    TIMEOUT ${ROOST_SLOW_TIMEOUT}
    ENVIRONMENT ROOST_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
  if("build" IN_LIST CHECK_LABELS)
    # Two builds in one tree at the same time get in each other's way.
    set_tests_properties(${name} PROPERTIES RESOURCE_LOCK build_tree)
  endif()
endfunction()

# roost_compile_errors(FILE)
#
# Declares one test per `#ifdef MISTAKE_name` of FILE. tests/check_compile_error.py says what passes.
function(roost_compile_errors file)
  set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(STRINGS ${PROJECT_SOURCE_DIR}/${file} lines REGEX "^#ifdef MISTAKE_[a-z0-9_]+")
  list(TRANSFORM lines REPLACE "^#ifdef MISTAKE_([a-z0-9_]+).*" "\\1")
  foreach(mistake IN ITEMS none ${lines})
    roost_check("compile error: ${mistake}" LABELS build
      COMMAND ${Python3_EXECUTABLE} tests/check_compile_error.py ${file} ${mistake}
        ${CMAKE_CXX_COMPILER} -std=c++20 -I${PROJECT_SOURCE_DIR})
    # Nothing is written, so these may run side by side.
    set_tests_properties("compile error: ${mistake}" PROPERTIES RESOURCE_LOCK "")
  endforeach()
endfunction()

# roost_fuzz(NAME SOURCES … [LINKS -lname…])
#
# Declares the fuzzer fuzz_NAME. libFuzzer belongs to clang, so clang compiles everything that it
# exercises: name the pure sources under test. Inputs to start from go to tests/fuzz/corpus/NAME/.
function(roost_fuzz name)
  cmake_parse_arguments(PARSE_ARGV 1 FUZZ "" "" "SOURCES;LINKS")
  roost_no_leftovers("${FUZZ_UNPARSED_ARGUMENTS}")
  find_program(ROOST_FUZZ_COMPILER clang++-14)
  if(NOT ROOST_FUZZ OR NOT ROOST_FUZZ_COMPILER)
    return()
  endif()

  set(flags -std=c++20 -O1 -g -fno-omit-frame-pointer
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)
  foreach(source IN LISTS FUZZ_SOURCES)
    set(object ${PROJECT_BINARY_DIR}/fuzz/${name}/${source}.o)
    get_filename_component(directory ${object} DIRECTORY)
    file(MAKE_DIRECTORY ${directory})
    add_custom_command(OUTPUT ${object}
      COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${ROOST_FUZZ_COMPILER} ${flags} -I${PROJECT_SOURCE_DIR}
        -MD -MF ${object}.d -c ${PROJECT_SOURCE_DIR}/${source} -o ${object}
      DEPENDS ${PROJECT_SOURCE_DIR}/${source}
      DEPFILE ${object}.d
      COMMENT "Compiling ${source} for fuzz_${name}"
      VERBATIM)
    list(APPEND objects ${object})
  endforeach()

  set(program ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/fuzz_${name})
  file(MAKE_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
  add_custom_command(OUTPUT ${program}
    COMMAND ${ROOST_FUZZ_COMPILER} ${flags} ${objects} ${FUZZ_LINKS} -o ${program}
    DEPENDS ${objects}
    COMMENT "Linking fuzz_${name}"
    VERBATIM)
  add_custom_target(fuzz_${name} ALL DEPENDS ${program})
  roost_check("fuzz: ${name}" LABELS fuzz slow
    COMMAND tests/fuzz/run ${program} ${PROJECT_BINARY_DIR}/fuzz/${name})
endfunction()
