# bascule_unity(<target>)
#
# Compiles a target's sources several at a time (BASCULE_UNITY), since most of the time goes into what they include: a
# layer's in batches, tests and the worlds they share by the first word of their names (bascule_unity_groups).
function(bascule_unity target)
  if(NOT BASCULE_UNITY)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
endfunction()

function(bascule_unity_groups target)
  if(NOT BASCULE_UNITY)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  foreach(source ${ARGN})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "_.*" "" group ${name})
    if(NOT group STREQUAL "cli")  # these include sources of the program
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
    endif()
  endforeach()
endfunction()

# bascule_layer(NAME DIR <folder> [DEPS <targets>...] [SEPARATE])
#
# SEPARATE: each source is always an object of its own.
#
# One static library per layer. Its headers are visible only to targets that link it: each layer's include root is a
# folder of its own that holds nothing but a link to that layer's sources, so an include that goes against the arrows of
# core/README.md does not compile.
function(bascule_layer name)
  cmake_parse_arguments(ARG "SEPARATE" "DIR" "DEPS;PRIVATE_DEPS;SOURCES" ${ARGN})
  set(root ${CMAKE_BINARY_DIR}/layers/${name})
  get_filename_component(parent ${root}/${ARG_DIR} DIRECTORY)
  file(MAKE_DIRECTORY ${parent})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${ARG_DIR} ${root}/${ARG_DIR} SYMBOLIC)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${ARG_DIR}/*.cc)
  list(APPEND sources ${ARG_SOURCES})
  if(sources)
    add_library(${name} STATIC ${sources})
    if(NOT ARG_SEPARATE)
      bascule_unity(${name})
    endif()
    set(scope PUBLIC)
    target_link_libraries(${name} PRIVATE bascule_flags ${ARG_PRIVATE_DEPS})
    if(BASCULE_CLANG_TIDY)
      set_target_properties(${name} PROPERTIES CXX_CLANG_TIDY "clang-tidy")
    endif()
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} ${root})
  target_link_libraries(${name} ${scope} ${ARG_DEPS})
endfunction()
