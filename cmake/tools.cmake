# The command clfusion, and the helpers of tools/demo.sh in the folder tools/ of the build.
file(GLOB command_sources CONFIGURE_DEPENDS src/cli/*.c)
if(CLFUSION_BENCH)
  file(GLOB bench_sources CONFIGURE_DEPENDS bench/*.c)
endif()
add_executable(clfusion_command ${command_sources} ${bench_sources})
set_target_properties(clfusion_command PROPERTIES OUTPUT_NAME clfusion)
clf_compile(clfusion_command)

foreach(helper draw_scene make_patches make_checkpoint check_tokens)
  add_executable(${helper} tools/${helper}.c)
  set_target_properties(${helper} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tools)
  clf_compile(${helper})
endforeach()

# They use parts of the library that programs outside do not see, so they take the static one.
foreach(program clfusion_command make_patches make_checkpoint check_tokens)
  target_include_directories(${program} PRIVATE src cl bench)
  target_compile_definitions(${program} PRIVATE _GNU_SOURCE)
  target_link_libraries(${program} PRIVATE clfusion_static m)
endforeach()
