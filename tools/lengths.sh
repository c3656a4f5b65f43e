#!/bin/sh
# Prints how long files and functions are, to look at; never fails.  Functions need universal-ctags.
cd "$(dirname "$0")/.." || exit 0

# summary NAME: median, ninth decile and greatest of "length name" lines, and the five longest.
summary()
{
    sort -n | awk -v what="$1" '
        { length_of[NR] = $1; name[NR] = $2 " " $3 }
        END {
            if (!NR) exit
            printf "%s: %d, median %d, nine in ten below %d, longest %d lines\n", what, NR, length_of[int((NR + 1) / 2)],
                length_of[int((9 * NR + 9) / 10)], length_of[NR]
            for (i = NR; i > NR - 5 && i > 0; i--) printf "    %4d %s\n", length_of[i], name[i]
        }'
}

sources()
{
    find "$@" \( -name '*.c' -o -name '*.cl' -o -name '*.h' -o -name '*.py' \) -not -path '*/data/*'
}

sources src include cl | xargs wc -l | grep -v ' total$' | summary "files of the library"
sources tests bench | xargs wc -l 2>/dev/null | grep -v ' total$' | summary "files of the tests"

if ctags --version 2>/dev/null | grep -q Universal; then
    functions() { ctags -o - --langmap=C:+.cl --kinds-C=f --fields=+ne "$@" 2>/dev/null | awk -F '\t' '
        {
            first = last = 0
            for (i = 4; i <= NF; i++) {
                if ($i ~ /^line:/) first = substr($i, 6)
                if ($i ~ /^end:/) last = substr($i, 5)
            }
            if (last) print last - first + 1, $1, $2
        }'; }
    # shellcheck disable=SC2046 # names without spaces
    functions $(find src tools -name '*.c') | summary "host functions"
    # shellcheck disable=SC2046
    functions $(find cl -name '*.cl') | summary "kernels and their helpers"
fi
exit 0
