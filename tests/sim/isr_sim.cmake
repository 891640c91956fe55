# The simulation of a replicated partition. Where mutants are built, its program holds copies of the product's sources
# with all faults of isr_mutants/ in them, none of which is on unless a test says so; elsewhere the sources themselves.
set(isr_sim_sources)
foreach(part mutated metadata machine checker world world_steps world_heal swarm_test)
  list(APPEND isr_sim_sources ${CMAKE_CURRENT_LIST_DIR}/isr_${part}.cc)
endforeach()
set(isr_partition_rules ${CMAKE_SOURCE_DIR}/replication/meta/table/partition_rules.cc)
add_executable(isr_sim_tests ${isr_sim_sources} $<TARGET_OBJECTS:test_main>)
target_include_directories(isr_sim_tests PRIVATE ${tests_root} ${CMAKE_BINARY_DIR}/layers/bascule_meta_table
  ${CMAKE_BINARY_DIR}/layers/bascule_isr)
target_link_libraries(isr_sim_tests PRIVATE bascule_flags bascule_stream)
add_test(NAME isr_sim_tests COMMAND isr_sim_tests)
set_tests_properties(isr_sim_tests PROPERTIES LABELS sim TIMEOUT 600)

if(NOT BASCULE_MUTANTS OR BASCULE_SANITIZE)
  target_sources(isr_sim_tests PRIVATE ${isr_partition_rules})
  target_link_libraries(isr_sim_tests PRIVATE bascule_isr)
  return()
endif()
set(isr_mutant_scripts ${CMAKE_CURRENT_LIST_DIR}/isr_mutants)
set(isr_copies ${CMAKE_BINARY_DIR}/isr_mutants)
file(GLOB isr_mutants CONFIGURE_DEPENDS ${isr_mutant_scripts}/*.mutant)
set(isr_originals replication/isr/log_epochs.cc replication/isr/leader_replica.cc replication/isr/follower_replica.cc
  replication/meta/table/partition_rules.cc)
set(isr_copied)
foreach(original ${isr_originals})
  get_filename_component(name ${original} NAME)
  list(APPEND isr_copied ${isr_copies}/${name})
endforeach()
list(TRANSFORM isr_originals PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE isr_original_paths)
add_custom_command(OUTPUT ${isr_copied} ${isr_copies}/mutant_table.cc
  COMMAND ${CMAKE_COMMAND} "-DMUTANTS=${isr_mutants}" "-DORIGINALS=${isr_originals}" -DROOT=${CMAKE_SOURCE_DIR}
    -DOUT=${isr_copies} -P ${isr_mutant_scripts}/apply_mutants.cmake
  DEPENDS ${isr_mutants} ${isr_original_paths} ${isr_mutant_scripts}/apply_mutants.cmake VERBATIM)
set_source_files_properties(${isr_copied} PROPERTIES COMPILE_OPTIONS
  "-include;${isr_mutant_scripts}/checks_throw.h")
target_sources(isr_sim_tests PRIVATE ${isr_copied} ${isr_copies}/mutant_table.cc
  ${CMAKE_CURRENT_LIST_DIR}/isr_mutants_test.cc)
