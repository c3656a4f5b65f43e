# Turns kernel sources into one C file of byte arrays:
#     cmake -DOUTPUT=clf_sources.c -DFILES="cl/add.cl;cl/clf_math.h" -P embed.cmake
# The C file defines clf_embedded_sources and clf_embedded_source_count of src/runtime/embedded.h.  A text is known by
# its file name without folder, has no carriage returns, and is followed by a NUL that its size leaves out.
cmake_minimum_required(VERSION 3.16)

if(NOT OUTPUT OR NOT FILES)
    message(FATAL_ERROR "embed.cmake: OUTPUT and FILES are not both given; want -DOUTPUT=FILE.c -DFILES=\"a;b\"")
endif()

set(arrays "")
set(entries "")
set(names "")
set(count 0)
foreach(file IN LISTS FILES)
    get_filename_component(name "${file}" NAME)
    if(name IN_LIST names)
        message(FATAL_ERROR "embed.cmake: ${name} is given twice; want one file of each name")
    endif()
    list(APPEND names "${name}")

    file(READ "${file}" hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REPLACE "0x0d,0x0a," "0x0a," bytes "${bytes}") # a checkout on Windows may have added them
    string(LENGTH "${bytes}" length)
    math(EXPR length "${length} / 5") # five characters a byte
    string(REPLACE "0x0a," "0x0a,\n    " bytes "${bytes}") # one source line a line: keeps the C file readable

    string(APPEND arrays "static const unsigned char text_${count}[] = { /* ${name} */\n    ${bytes}0x00 };\n\n")
    string(APPEND entries "    { \"${name}\", text_${count}, ${length} },\n")
    math(EXPR count "${count} + 1")
endforeach()

file(WRITE "${OUTPUT}.new" "/* Made by cmake/embed.cmake from the files named below; not to be edited. */
#include \"runtime/embedded.h\"

${arrays}const clf_embedded clf_embedded_sources[] = {
${entries}};

const size_t clf_embedded_source_count = ${count};
")
file(RENAME "${OUTPUT}.new" "${OUTPUT}") # an interrupted build leaves no half file
