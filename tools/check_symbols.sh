#!/bin/sh
# Compares what the shared library exports with the list src/clfusion.symbols:
#     tools/check_symbols.sh build/release/libclfusion.so [--update]
set -eu
cd "$(dirname "$0")/.."
list=src/clfusion.symbols
library=${1:?usage: tools/check_symbols.sh LIBRARY [--update]}
[ -r "$library" ] || { echo "$library is not there" >&2; exit 1; }

exported()
{
    # Old linkers export marks of their own.
    nm -D --defined-only "$library" | awk '{ print $3 }' | sed 's/@.*//' | LC_ALL=C sort -u |
        grep -vxE '_init|_fini|_end|_edata|__bss_start'
}

if [ "${2:-}" = --update ]; then
    exported >"$list"
    exit 0
fi
if ! exported | diff -u "$list" - >&2; then
    echo "$library: the exports are not those of $list; if that is meant: tools/check_symbols.sh $library --update" >&2
    exit 1
fi
if grep -v '^clf_' "$list" >&2; then
    echo "$list: these names do not begin with clf_" >&2
    exit 1
fi
echo "$(wc -l <"$list") exported symbols, as listed"
