#!/bin/sh
# Builds the command and shows it three times, on pocl unless OCL_ICD_VENDORS or CLFUSION_DEVICE say otherwise:
#   1. the picture examples/scene.ppm, cut into 30x30 patches, through an embedding of Fuyu-8B's shape
#   2. 576 tokens through a projector of LLaVA-1.5-7B's shape
#   3. a drawing that a small trained model (examples/drawings) finds the caption for, where each word looks, and what is
#      relevant to its phrases; docs/demo.png is made here
# The weights of 1 and 2 are made on the spot from a seed; everything else is what a real checkpoint meets.  On Debian and
# Ubuntu it first installs what is missing.  Results: build/demo.
set -eu
cd "$(dirname "$0")/.."
. tools/setup.sh

clf_setup
clf_only_pocl
build=build/release
out=build/demo
CLF_BUILD_NOTE="building (about 20 seconds on two cores) ..."
clf_build "$build" -DCMAKE_BUILD_TYPE=Release -DCLFUSION_TESTS=OFF -DCLFUSION_TOOLS=ON
mkdir -p "$out"
export POCL_AFFINITY="${POCL_AFFINITY-1}" # each worker thread on a core of its own

# A number of a flat JSON object: json_number FILE KEY.
json_number()
{
    sed -n 's/.*"'"$2"'": *\([-+.0-9eE]*\).*/\1/p' "$1" | head -n 1
}

# share A B: A as a percentage of B.
share()
{
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.0f %%", 100 * a / b }'
}

# run_model NAME CHECKPOINT VISION: runs, times, checks some rows against the host's own arithmetic.
run_model()
{
    "$build/clfusion" run "$2" --input vision="$3" --output tokens="$out/$1_tokens.npy" --repeat 20 --json \
        >"$out/$1.json"
    gflops=$(awk -v flop="$(json_number "$out/$1.json" flop)" -v ms="$(json_number "$out/$1.json" minimum_ms)" \
        'BEGIN { printf "%.0f", flop / ms * 1e-6 }')
    printf '   median %s ms; best %s ms, %s GFLOP/s, %s of the measured peak (other load lowers this)\n' \
        "$(json_number "$out/$1.json" median_ms)" "$(json_number "$out/$1.json" minimum_ms)" "$gflops" \
        "$(share "$gflops" "$peak")"
    printf '   correct: '
    "$build/tools/check_tokens" "$2" "$3" "$out/$1_tokens.npy"
    printf '   written: %s\n\n' "$out/$1_tokens.npy"
}

printf '\nDevice'
case ${OCL_ICD_VENDORS-} in
    *build/icd/pocl) printf ' (the demo shows itself pocl alone; CLFUSION_DEVICE=auto opens every driver)' ;;
esac
printf '\n'
"$build/clfusion" devices | awk 'BEGIN { RS = "" } /choice +picked/' | grep -E '^(name|platform|type|reason) ' | sed 's/^/   /'
# The peak is measured beside any short case; the best of three readings, because other load lowers one.  Outside the
# pipe, so that a device that is not there ends the demo here.
for reading in 1 2 3; do
    "$build/clfusion" bench linear.qformer --json >"$out/peak_$reading.json"
done
peak=$(for reading in 1 2 3; do
    json_number "$out/peak_$reading.json" peak_fma_gflops
    echo
done | sort -g | tail -n 1)
printf '   measured peak of fused multiply-adds: %s GFLOP/s\n\n' "$peak"

printf 'Weights are random, made here from a seed; shapes, files and code path are those of the real models.\n\n'
"$build/tools/make_checkpoint" fuyu "$out/fuyu"
"$build/tools/make_checkpoint" llava "$out/llava"

printf '1. A picture through an embedding of Fuyu-8B'\''s shape: [1, N, 2700] -> [1, N, 4096]\n   examples/scene.ppm: '
"$build/tools/make_patches" examples/scene.ppm "$out/patches.npy"
run_model fuyu "$out/fuyu" "$out/patches.npy"

printf '2. Random features through a projector of LLaVA-1.5-7B'\''s shape: [1, 576, 1024] -> 4096 -> GELU -> [1, 576, 4096]\n'
run_model llava "$out/llava" "$out/llava/vision.npy"

# ids_file FILE ID...: an npy file with the ids as i64 [1, count].
ids_file()
{
    file=$1
    shift
    printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<i8', 'fortran_order': False, 'shape': (1, $#), }" >"$file"
    for id; do
        # shellcheck disable=SC2059 # the byte is the format
        printf "\\$(printf '%03o' "$id")\\000\\000\\000\\000\\000\\000\\000" >>"$file"
    done
}

# module NAME OPTION...: one of the trained model's modules.
module()
{
    name=$1
    shift
    "$build/clfusion" run "examples/drawings/$name.safetensors" "$@" >/dev/null
}

printf '3. examples/drawings/scene.png among 264 captions, by a trained model of %s bytes:\n' \
    "$(cat examples/drawings/*.safetensors | wc -c)"
"${CC:-cc}" -std=c11 -O2 -Iinclude examples/drawings.c -o "$out/drawings" "$build/libclfusion.so" -Wl,-rpath,"$PWD/$build" -lm
"$out/drawings" examples/drawings examples/drawings/scene.png >"$out/drawings.txt"
sed -n 's/^\(.*%.*\)/   \1/p' "$out/drawings.txt"
sed -n '1s/.*%  //p' "$out/drawings.txt" | cmp - examples/drawings/scene.txt
printf '   correct: that is what was drawn\n'

# The picture's patches as the words see them, and the words of the first caption.
ids=$(sed -n 's/^ids //p' "$out/drawings.txt")
caption=$(sed -n '1s/.*%  //p' "$out/drawings.txt" | tr -d ,)
# shellcheck disable=SC2086 # words
ids_file "$out/ids.npy" $ids
module early --image examples/drawings/scene.png --input text_ids="$out/ids.npy" --output tokens="$out/patches_0.npy" \
    --output hidden="$out/words.npy"
for block in 1 2; do
    seen=$out/patches_$((block - 1)).npy
    module patches_$block --input text="$seen" --input vision="$seen" --output hidden="$out/patches_$block.npy"
done

# Heat maps over the scene, enlarged: where each word looks, and what matters to the phrases by themselves.
"$build/tools/contact_sheet" "$out/scene.png" 3 examples/drawings/scene.png
position=0
sheet=scene=$out/scene.png
for word in $caption; do
    map=$out/word_${position}_$word.png
    module gated --input text="$out/words.npy" --input vision="$out/patches_2.npy" --heatmap "$out/scene.png=$map" \
        --position $position
    case $position in 0 | 2 | 4) sheet="$sheet $word=$map" ;; esac
    position=$((position + 1))
done
printf '   where each word looks: %s/word_*.png\n' "$out"

# relevance_of MAP ID...: the query is the mean of the words behind late fusion's projection.
relevance_of()
{
    map=$1
    shift
    ids_file "$out/phrase.npy" "$@"
    module early --input text_ids="$out/phrase.npy" --output hidden="$out/phrase_words.npy"
    module late --input text="$out/phrase_words.npy" --output text_embeds="$out/query.npy"
    module relevance --image examples/drawings/scene.png --input query="$out/query.npy" --heatmap "$out/scene.png=$map"
}

# shellcheck disable=SC2046 # three ids
relevance_of "$out/relevance_1.png" $(printf '%s\n' "$ids" | cut -d ' ' -f 1-3)
# shellcheck disable=SC2046
relevance_of "$out/relevance_2.png" $(printf '%s\n' "$ids" | cut -d ' ' -f 4-6)
printf '   what is relevant to "%s" and "%s": %s/relevance_{1,2}.png\n' "$(printf '%s\n' "$caption" | cut -d ' ' -f 1-3)" \
    "$(printf '%s\n' "$caption" | cut -d ' ' -f 4-6)" "$out"
# shellcheck disable=SC2086 # file names without gaps
"$build/tools/contact_sheet" "$out/demo.png" 1 $sheet relevance="$out/relevance_1.png"
printf '   some of them side by side: %s/demo.png\n\n' "$out"

printf 'Done; all results are right.  Next: %s/clfusion inspect %s/llava\n' "$build" "$out"
