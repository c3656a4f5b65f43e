#!/bin/sh
# Keeps out of the sources what has a better replacement here, kernels whose names nobody would find, and formatting
# other than .clang-format's.  (An arrow between rooms that points the wrong way does not compile.)
# Prints "file:line: text: rule" for every finding; the exit status is 0 when there is none.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# "file:line:code" of all sources, without comments.  String literals stay: kernel build options stand in them.
code()
{
    # shellcheck disable=SC2016 # the quoted text is awk's
    find include src cl tools examples -name '*.[ch]' -o -name '*.cl' | LC_ALL=C sort | xargs awk '
        FNR == 1 { comment = 0 }
        {
            rest = $0
            text = ""
            while (rest != "") {
                if (comment) {
                    at = index(rest, "*/")
                    if (!at) break
                    rest = substr(rest, at + 2)
                    comment = 0
                } else {
                    at = index(rest, "/*")
                    if (!at) { text = text rest; break }
                    text = text substr(rest, 1, at - 1) " "
                    rest = substr(rest, at + 2)
                    comment = 1
                }
            }
            if (text ~ /[^ ]/) print FILENAME ":" FNR ":" text
        }'
}

# rule WHERE EXCEPT PATTERN ADVICE: no line of files matching WHERE but not EXCEPT (- for none) has PATTERN.
rule()
{
    grep -E "^($1)[^:]*:" "$work/code" | { [ "$2" = - ] && cat || grep -vE "^($2)[^:]*:"; } |
        grep -E "^[^:]*:[0-9]+:.*($3)" | sed "s|\$|: $4|" >>"$work/found" || :
}

call() { printf '(^|[^A-Za-z0-9_])(%s) *[(]' "$1"; }

forbidden_words()
{
    host='include/|src/|tools/|examples/'
    rule "$host" - "$(call 'v?sprintf|strcpy|strcat|strncat|strncpy|gets')" 'use clf_format of core/text.h'
    rule "$host" - "$(call 'ato[ifl]|atoll|strtok')" 'use a parser that checks'
    rule "$host" - "$(call 'alloca')" 'use clf_alloc of core/alloc.h'
    rule 'src/' src/core/alloc.c "$(call 'malloc|calloc|realloc|free|strdup|aligned_alloc')" 'use core/alloc.h'
    rule 'src/' src/cli/ "$(call 'printf|fprintf|puts|fputs|perror|exit|_Exit|abort|assert')" \
        'the library never prints or ends; return an error'
    rule 'src/' 'src/runtime/|src/gemm/clblast' "$(call 'cl[A-Z][A-Za-z0-9]*|CLBlast[A-Za-z0-9]*')" \
        'use the wrappers of src/runtime'
    rule 'cl/' - '(^|[^A-Za-z0-9_])(native|half)_[a-z0-9]+ *[(]' 'use the full-precision function'
    rule 'cl/' - 'static [^;=]*[(,] *local ' 'CLF_INLINE: pocl 3.1 shares such memory between threads'
    rule 'cl/|src/' - 'cl-(fast-relaxed-math|unsafe-math-optimizations|finite-math-only|mad-enable)' \
        'published bounds exclude fast mathematics'
    rule 'src/|include/' 'src/runtime/|src/gemm/clblast' '# *include *[<"](CL/|clblast)' 'OpenCL stays in src/runtime'
    rule 'include/' - '# *include *"' 'public headers include <clfusion/...> and the C library'
}

# Kernel entries of cl/<op>.cl begin with clf_<op>_.
kernel_names()
{
    grep -E '^cl/[^:]*\.cl:.*(^|[^A-Za-z0-9_])(__)?kernel([^A-Za-z0-9_]|$)' "$work/code" | awk -F: '{
        op = $1
        sub(/^cl\//, "", op)
        sub(/\.cl$/, "", op)
        name = $0
        if (!sub(/.*void +/, "", name)) next
        sub(/[ (].*/, "", name)
        if (index(name, "clf_" op "_") != 1) print $0 ": want a kernel name that begins with clf_" op "_"
    }' >>"$work/found"
}

# A TODO names the issue that it waits for.
open_ends()
{
    grep -rnE '(TODO|FIXME)' include src cl tests tools examples --include='*.[ch]' --include='*.cl' \
        --include='*.sh' --include='*.py' --exclude=lint.sh | grep -vE '(TODO|FIXME)\(#[0-9]+\)' |
        sed 's/$/: want TODO(#number)/' >>"$work/found" || :
}

# Only version 14 is asked: others format differently.
formatting()
{
    format=$(command -v clang-format-14 || command -v clang-format || echo none)
    if ! "$format" --version 2>/dev/null | grep -q 'version 14\.'; then
        echo "clang-format 14 is not here: formatting not checked"
        return 0
    fi
    find include src tests tools examples -name '*.[ch]' -print0 | xargs -0 "$format" --dry-run 2>&1 |
        sed -n 's/^\([^:]*\):\([0-9]*\):.* warning:.*/\1 \2/p' | awk '!seen[$1]++ { print $1 ":" $2 ": run clang-format -i" }' \
        >>"$work/found"
}

: >"$work/found"
code >"$work/code"
forbidden_words
kernel_names
open_ends
formatting
cat "$work/found"
echo "$(wc -l <"$work/found") findings in $(cut -d: -f1 "$work/code" | uniq | wc -l) files"
[ ! -s "$work/found" ]
