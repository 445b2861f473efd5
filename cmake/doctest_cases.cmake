# Read by CTest when it starts: adds one test per TEST_CASE of `program`. See roost_test.

set(report "")
if(EXISTS ${program})
  execute_process(COMMAND ${program} --list-test-cases --reporters=xml
    OUTPUT_VARIABLE report ERROR_VARIABLE errors RESULT_VARIABLE code)
endif()

# A title may hold anything, also what has a meaning in CMake's lists.
string(REPLACE "[" "\\x5b" report "${report}")
string(REPLACE "]" "\\x5d" report "${report}")
string(REPLACE ";" "\\x3b" report "${report}")
string(REGEX MATCHALL "<TestCase [^\n]*/>" cases "${report}")

get_filename_component(bin_dir ${program} DIRECTORY)
foreach(case IN LISTS cases)
  string(REGEX REPLACE ".* name=\"([^\"]*)\".*" "\\1" title "${case}")
  string(REGEX REPLACE ".* filename=\"([^\"]*)\".*" "\\1" file "${case}")
  set(suite "")
  if(case MATCHES " testsuite=\"([^\"]*)\"")
    set(suite "${CMAKE_MATCH_1}")
  endif()
  foreach(entity IN ITEMS "quot\\x3b=\"" "lt\\x3b=<" "gt\\x3b=>" "amp\\x3b=&")
    string(REGEX MATCH "(.*)=(.*)" _ "${entity}")
    string(REPLACE "&${CMAKE_MATCH_1}" "${CMAKE_MATCH_2}" title "${title}")
  endforeach()
  string(REPLACE "\\x5b" "[" title "${title}")
  string(REPLACE "\\x5d" "]" title "${title}")
  string(REPLACE "\\x3b" ";" title "${title}")

  get_filename_component(file "${file}" NAME)
  get_filename_component(stem "${file}" NAME_WE)
  string(REPLACE "\\" "\\\\" filter "${title}")
  string(REPLACE "," "\\," filter "${filter}")

  set(name "${folder}/${stem}: ${title}")
  add_test("${name}" ${program} "--source-file=*${file}" "--test-case=${filter}")
  set(limit ${timeout})
  if("${suite};${labels}" MATCHES "(^|;)(slow|long|browser)(;|$)")
    set(limit ${slow_timeout})
  endif()
  set(serial FALSE)
  if(";${labels};" MATCHES ";alone;")  # CTest reads this without the policy for IN_LIST
    set(serial TRUE)  # it measures, and others would disturb it
  endif()
  set_tests_properties("${name}" PROPERTIES
    LABELS "${labels};${suite}"
    TIMEOUT ${limit}
    RUN_SERIAL ${serial}
    ENVIRONMENT "ROOST_BIN_DIR=${bin_dir}"
    WORKING_DIRECTORY ${source_dir})
endforeach()

if(NOT cases)
  # Not built, crashed on start, or without a case: a test that cannot pass says so.
  add_test("${folder}: expected ${program} to list test cases" ${program} --expected-test-cases)
  set_tests_properties("${folder}: expected ${program} to list test cases" PROPERTIES
    LABELS "${labels}" TIMEOUT ${timeout} PASS_REGULAR_EXPRESSION "never")
endif()
