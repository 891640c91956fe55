# The simulated cluster of whole brokers with replicas, over copies of the sources that put the rules to work, with all
# faults of replica_mutants/ in them, none of which is on unless the test says so. Built where mutants are. The cluster
# over the sources themselves is part of sim_tests.
if(NOT BASCULE_MUTANTS OR BASCULE_SANITIZE)
  return()
endif()
set(replica_mutant_scripts ${CMAKE_CURRENT_LIST_DIR}/replica_mutants)
set(replica_copies ${CMAKE_BINARY_DIR}/replica_mutants)
file(GLOB replica_mutants CONFIGURE_DEPENDS ${replica_mutant_scripts}/*.mutant)
# All of both layers: what is not copied here would bring the originals with it.
file(GLOB replica_originals CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
  ${CMAKE_SOURCE_DIR}/replication/partition/*.cc ${CMAKE_SOURCE_DIR}/replication/broker/*.cc)
set(replica_copied)
foreach(original ${replica_originals})
  get_filename_component(name ${original} NAME)
  list(APPEND replica_copied ${replica_copies}/${name})
endforeach()
list(TRANSFORM replica_originals PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE replica_original_paths)
add_custom_command(OUTPUT ${replica_copied} ${replica_copies}/mutant_table.cc
  COMMAND ${CMAKE_COMMAND} "-DMUTANTS=${replica_mutants}" "-DORIGINALS=${replica_originals}" -DROOT=${CMAKE_SOURCE_DIR}
    -DOUT=${replica_copies} -P ${CMAKE_CURRENT_LIST_DIR}/isr_mutants/apply_mutants.cmake
  DEPENDS ${replica_mutants} ${replica_original_paths} ${CMAKE_CURRENT_LIST_DIR}/isr_mutants/apply_mutants.cmake
  VERBATIM)
set(replica_world_sources)
foreach(part isr_mutated kernel sim_network sim_lines sim_bus machine_faults message_model stream_client broker_process
    replica_checker replica_losses replica_world replica_world_faults replica_world_checks replica_mutants_test)
  list(APPEND replica_world_sources ${CMAKE_CURRENT_LIST_DIR}/${part}.cc)
endforeach()
add_executable(replica_mutant_tests ${replica_world_sources} ${replica_copied} ${replica_copies}/mutant_table.cc
  $<TARGET_OBJECTS:test_main>)
if(BASCULE_UNITY)
  set_target_properties(replica_mutant_tests PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  foreach(source ${replica_copied})
    get_filename_component(name ${source} NAME_WE)
    if(name MATCHES "^partition")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP partition_copies)
    else()
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP other_copies)
    endif()
  endforeach()
endif()
target_compile_options(replica_mutant_tests PRIVATE -include tests/sim/isr_mutated.h)
set(replica_roots)
foreach(layer bascule_partition bascule_broker)
  list(APPEND replica_roots ${CMAKE_BINARY_DIR}/layers/${layer})
endforeach()
target_include_directories(replica_mutant_tests PRIVATE ${tests_root} ${replica_roots})
target_link_libraries(replica_mutant_tests PRIVATE bascule_flags test_support bascule_config bascule_meta_cluster
  bascule_raft_group bascule_isr bascule_log bascule_wire bascule_ports replication_ports)
add_test(NAME replica_mutant_tests COMMAND replica_mutant_tests)
set_tests_properties(replica_mutant_tests PROPERTIES LABELS sim TIMEOUT 900)
