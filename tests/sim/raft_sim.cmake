# The simulation of a Raft group, once with bascule_raft as it is and once with each fault of mutants/.
set(raft_sim_sources)
foreach(part checker faults member trace world world_faults scenario swarm_test rules_test reads_test lost_test
    membership_test)
  list(APPEND raft_sim_sources ${CMAKE_CURRENT_LIST_DIR}/raft_${part}.cc)
endforeach()
add_library(raft_sim OBJECT ${raft_sim_sources})
bascule_unity(raft_sim)
target_include_directories(raft_sim PRIVATE ${tests_root})
target_link_libraries(raft_sim PRIVATE bascule_flags bascule_raft bascule_env)
add_executable(raft_sim_tests $<TARGET_OBJECTS:raft_sim> $<TARGET_OBJECTS:test_main>)
target_link_libraries(raft_sim_tests PRIVATE bascule_flags bascule_raft)
add_test(NAME raft_sim_tests COMMAND raft_sim_tests)
set_tests_properties(raft_sim_tests PROPERTIES LABELS sim TIMEOUT 600)

# Compiling each takes some seconds; a sanitizer has nothing to say about them.
option(BASCULE_MUTANTS "Build the faults that the Raft tests must find" ON)
if(NOT BASCULE_MUTANTS OR BASCULE_SANITIZE)
  return()
endif()
set(mutant_scripts ${CMAKE_CURRENT_LIST_DIR}/mutants)
include(${mutant_scripts}/read_mutant.cmake)
file(GLOB mutants CONFIGURE_DEPENDS ${mutant_scripts}/*.mutant)
foreach(mutant ${mutants})
  get_filename_component(name ${mutant} NAME_WE)
  read_mutant(${mutant})
  get_filename_component(source ${mutant_file} NAME)
  set(copy ${CMAKE_BINARY_DIR}/mutants/${name}/${source})
  add_custom_command(OUTPUT ${copy}
    COMMAND ${CMAKE_COMMAND} -DMUTANT=${mutant} -DROOT=${CMAKE_SOURCE_DIR} -DOUT=${copy} -P
      ${mutant_scripts}/apply_mutant.cmake
    DEPENDS ${mutant} ${CMAKE_SOURCE_DIR}/${mutant_file} ${mutant_scripts}/apply_mutant.cmake
      ${mutant_scripts}/read_mutant.cmake VERBATIM)
  # The copy comes before the library: its symbols are there already, so the linker leaves the original out.
  add_executable(raft_mutant_${name} ${copy} $<TARGET_OBJECTS:raft_sim> $<TARGET_OBJECTS:test_main>)
  target_link_libraries(raft_mutant_${name} PRIVATE bascule_raft)
  set_target_properties(raft_mutant_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/mutants)
  add_test(NAME raft_mutant_${name} COMMAND ${CMAKE_COMMAND} -DBINARY=$<TARGET_FILE:raft_mutant_${name}>
    -DMUTANT=${mutant} -P ${mutant_scripts}/run_mutant.cmake)
  set_tests_properties(raft_mutant_${name} PROPERTIES LABELS "sim;mutant" TIMEOUT 120)
endforeach()
