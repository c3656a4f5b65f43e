# How every target of the project is compiled: clf_compile(TARGET).
option(CLFUSION_WERROR "Warnings are errors" OFF)
set(CLFUSION_SANITIZE "" CACHE STRING "Sanitizers, as address,undefined; empty: none")

function(clf_compile target)
  set_target_properties(${target} PROPERTIES
    C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF C_VISIBILITY_PRESET hidden)
  if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
    target_compile_options(${target} PRIVATE
      -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wundef -Wconversion -Wmissing-prototypes -Wstrict-prototypes
      -Wmissing-field-initializers -Wimplicit-fallthrough)
    if(CLFUSION_WERROR)
      target_compile_options(${target} PRIVATE -Werror)
    endif()
  endif()
  if(CLFUSION_SANITIZE)
    target_compile_options(${target} PRIVATE
      -fsanitize=${CLFUSION_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${CLFUSION_SANITIZE})
  endif()
endfunction()
