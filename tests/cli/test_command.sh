#!/bin/sh
# The command as a user meets it: exit statuses, one line for a failure, no file after a failure, JSON that is JSON,
# and results equal to the oracle's in every folder of the test data.
#
#     CLF_COMMAND=build/clfusion CLF_TEST_DATA=tests/data tests/cli/test_command.sh
#
# CLF_TEST_FOLDERS=no leaves the folders to models/test_families.  Needs a device that clfusion can use.  Prints "N passed, M failed, K skipped"; the exit status is 0 when none failed.
set -u

here=$(cd "$(dirname "$0")" && pwd)
command=${CLF_COMMAND:?names the built command}
data=${CLF_TEST_DATA:-$here/../data}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
LC_ALL=C
export LC_ALL

passed=0
failed=0
skipped=0

pass() {
    passed=$((passed + 1))
}

fail() {
    failed=$((failed + 1))
    printf 'failed: %s\n' "$1"
    printf '  stdout: %s\n  stderr: %s\n' "$(head -c 600 "$work/stdout")" "$(head -c 600 "$work/stderr")"
}

# check NAME COMMAND...: passes when the command succeeds.
check() {
    check_name=$1
    shift
    if "$@"; then pass; else fail "$check_name"; fi
}

# run_command STATUS ARGUMENT...: runs the command, keeps its output, compares the exit status.
run_command() {
    want=$1
    shift
    "$command" "$@" >"$work/stdout" 2>"$work/stderr"
    status=$?
    [ "$status" -eq "$want" ]
}

one_line() {
    [ "$(wc -l <"$work/stderr")" -eq 1 ] && grep -q '^clfusion: ' "$work/stderr"
}

# refuses NAME STATUS TEXT ARGUMENT...: exit status, exactly one line with the text on stderr, nothing on stdout.
refuses() {
    refuses_name=$1
    refuses_status=$2
    refuses_text=$3
    shift 3
    if run_command "$refuses_status" "$@" && one_line && grep -qF -- "$refuses_text" "$work/stderr" &&
        [ ! -s "$work/stdout" ]; then
        pass
    else
        fail "$refuses_name (status $status, want $refuses_status with '$refuses_text')"
    fi
}

# accepts NAME ARGUMENT...: exit status 0 and a silent stderr.
accepts() {
    accepts_name=$1
    shift
    if run_command 0 "$@" && [ ! -s "$work/stderr" ]; then pass; else fail "$accepts_name (status $status)"; fi
}

# notes NAME TEXT ARGUMENT...: exit status 0, exactly one line with the text on stderr.
notes() {
    notes_name=$1
    notes_text=$2
    shift 2
    if run_command 0 "$@" && one_line && grep -qF -- "$notes_text" "$work/stderr"; then
        pass
    else
        fail "$notes_name (status $status, want 0 with '$notes_text')"
    fi
}

not_in_stdout() { ! grep -q -- "$1" "$work/stdout"; }

not_in_stderr() { ! grep -q -- "$1" "$work/stderr"; }

shows() { # NAME TEXT: the last run printed it
    check "$1" grep -qF -- "$2" "$work/stdout"
}

# One JSON text in the file: tokens first, then objects and arrays shrink to values until one is left.
is_json() {
    awk '
        { text = text $0 "\n" }
        END {
            string = "\"([^\"\\\\\001-\037]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F])*\""
            gsub(string, "S", text)
            gsub(/-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/, "V", text)
            gsub(/true|false|null/, "V", text)
            gsub(/[ \t\n\r]/, "", text)
            do {
                before = text
                gsub(/\{(S:[SV](,S:[SV])*)?\}/, "V", text)
                gsub(/\[([SV](,[SV])*)?\]/, "V", text)
            } while (text != before)
            exit text != "V"
        }' "$1"
}

# npy_values FILE: its numbers, one a line.  The header says type and length of itself (NumPy format 1.0).
npy_values() {
    length=$(od -An -t u2 -j 8 -N 2 "$1" | tr -d ' ')
    case $(head -c $((length + 10)) "$1" | tail -c "$length") in
    *"'<f4'"*) format=f4 ;;
    *"'<f8'"*) format=f8 ;;
    *"'<i8'"*) format=d8 ;;
    *"'<i4'"*) format=d4 ;;
    *) return 1 ;;
    esac
    od -An -v -w"${format#?}" -t "$format" -j $((length + 10)) "$1"
}

npy_header() { # FILE: the text between the length and the numbers
    head -c $((10 + $(od -An -t u2 -j 8 -N 2 "$1" | tr -d ' '))) "$1" | tail -c +11
}

# write_npy FILE TYPE SHAPE: header from the arguments, numbers from stdin.
write_npy() {
    write_header="{'descr': '$2', 'fortran_order': False, 'shape': $3, }"
    write_pad=$((117 - ${#write_header}))
    printf '\223NUMPY\001\000\166\000%s%*s\n' "$write_header" "$write_pad" '' >"$1"
    cat >>"$1"
}

bytes() { # COUNT TEXT: the printf text, so many times
    bytes_left=$1
    while [ "$bytes_left" -gt 0 ]; do
        # shellcheck disable=SC2059 # the text is a format on purpose
        printf "$2"
        bytes_left=$((bytes_left - 1))
    done
}

# same_values A B TOLERANCE: shapes equal, and |a - b| <= TOLERANCE (1 + |b|) everywhere.
same_values() {
    npy_values "$1" >"$work/left" && npy_values "$2" >"$work/right" && [ -s "$work/right" ] || return 1
    [ "$(npy_header "$1" | sed "s/.*'shape'//")" = "$(npy_header "$2" | sed "s/.*'shape'//")" ] || return 1
    paste "$work/left" "$work/right" | awk -v most="$3" '
        NF != 2 { bad = 1 }
        { d = $1 - $2; if (d < 0) d = -d; size = $2 < 0 ? -$2 : $2 }
        !(d <= most * (1 + size)) { bad = 1 }
        END { exit bad || NR == 0 }'
}

no_leftovers() { # FOLDER: nothing but what stands behind it
    folder=$1
    shift
    [ "$(cd "$folder" && find . ! -name . -prune | sed 's|^\./||' | sort | tr '\n' ' ')" = "$(printf '%s\n' "$@" | sed '/^$/d' | sort | tr '\n' ' ')" ]
}

# ---------------------------------------------------------------------------------------------------------------------

usage_and_help() {
    accepts "help" --help
    for name in devices inspect run plan diagnose bench selftest; do
        shows "help names $name" "$name"
    done
    accepts "version" --version
    check "version is a number" grep -qE '^clfusion [0-9]+\.[0-9]+\.[0-9]+$' "$work/stdout"
    for name in devices inspect run plan diagnose bench selftest; do
        accepts "$name --help" "$name" --help
        shows "$name --help shows usage" "usage: clfusion $name"
    done
    refuses "no command" 2 "no command"
    refuses "unknown command" 2 "frobnicate" frobnicate
    refuses "unknown option" 2 "--frobnicate" devices --frobnicate
    refuses "option of another command" 2 "--input" devices --input a=b
    refuses "option without value" 2 "--device" devices --device
    refuses "argument too many" 2 "extra" devices extra
    refuses "two checkpoints" 2 "two" inspect one two
    refuses "inspect without checkpoint" 2 "no checkpoint" inspect
    refuses "diagnose without checkpoint" 2 "no checkpoint" diagnose
    refuses "diagnose takes no output" 2 "--output" diagnose x --output tokens=t.npy
    refuses "run without checkpoint" 2 "no checkpoint" run --output tokens=t.npy
    refuses "run without output" 2 "no output" run x
    refuses "input without file" 2 "--input is vision" run x --input vision --output tokens=t.npy
    refuses "input with an empty name" 2 "--input is =v" run x --input =v --output tokens=t.npy
    refuses "output twice" 2 "each name once" run x --output tokens=t.npy --output tokens=u.npy
    for option in -x -xy; do
        refuses "unknown short option $option" 2 "-x is no option" run "$option"
    done
    refuses "a short option behind a long one" 2 "-x is no option" run --json -xy
    refuses "a value for a flag" 2 "--json takes no value" run --json=1
    refuses "a value for --help" 2 "--help takes no value" run --help=1
    refuses "two outputs in one file" 2 "same file" run x --output tokens=t.npy --output fused=t.npy
    refuses "two spellings of a file" 2 "same file" run x --output tokens=./t.npy --output fused=t.npy
    refuses "an output and the profile in one file" 2 "same file" run x --output tokens=t.npy --profile ".//t.npy"
    refuses "gemm" 2 "want auto|panel|clblast" run x --output tokens=t.npy --gemm blas
    refuses "weights" 2 "want stored|f32|f16|bf16" run x --output tokens=t.npy --weights q4
    refuses "output type" 2 "want f32|f16" run x --output tokens=t.npy --output-type bf16
    refuses "set without a value" 2 "want KEY=VALUE" run x --output tokens=t.npy --set key
    for value in 0 -1 1x "" 99999999999999999999; do
        refuses "repeat '$value'" 2 "--repeat is $value" run x --output tokens=t.npy "--repeat=$value"
    done
    for value in -1 1x 0.5 "" 99999999999999999999; do
        refuses "layer '$value'" 2 "--layer is $value" run x --output tokens=t.npy "--layer=$value"
    done
}

# Attention over a picture, and pictures in the place of features.
pictures() {
    pictures=$data/../pictures
    cross=$data/cross_attention_basic
    early=$data/early_fusion_pixels
    out=$work/out
    mkdir -p "$out"
    for option in "position=3" "head=1" "grid=2x2"; do
        refuses "--$option alone" 2 "without --heatmap" run x --output tokens=t.npy "--$option"
    done
    refuses "a head without a position" 2 "without --position" run x --heatmap a.png=b.png --head 1
    for value in a.png =b.png a.png= ""; do
        refuses "heatmap '$value'" 2 "want PICTURE=OUT.png" run x "--heatmap=$value" --position 0
    done
    for value in 2 2x 0x2 x2 2x2x2 -1x2; do
        refuses "grid $value" 2 "--grid is $value; want HxW" run x --heatmap a=b --position 0 "--grid=$value"
    done
    refuses "two results in one file" 2 "are the same file" run x --output "hidden=$out/b" --heatmap "a=$out/b" --position 0
    set -- run "$cross" --input "text=$cross/in_text.npy" --input "vision=$cross/in_vision.npy"
    accepts "a heat map" "$@" --heatmap "$pictures/source_down.png=$out/a.png" --position 2 --grid 1x7
    shows "its size" "[90, 61, 3]"
    check "no temporary file is left" no_leftovers "$out" a.png
    accepts "one head over a JPEG, and a value" "$@" --heatmap "$pictures/jpeg_rgb.jpg=$out/b.png" --position 2 --head 1 \
        --grid 7x1 --output "hidden=$out/h.npy" --json
    check "its report is JSON" is_json "$work/stdout"
    check "the value is right" same_values "$out/h.npy" "$cross/out_hidden.npy" 2e-5
    accepts "what was written can be read" "$@" --heatmap "$out/a.png=$out/a.png" --position 2 --grid 1x7
    rm -f "$out"/*
    refuses "a grid that does not fit" 1 "--grid is 2x2, 4 cells; want 7 keys of attention" "$@" \
        --heatmap "$pictures/source_down.png=$out/a.png" --position 2 --grid 2x2
    refuses "no square" 1 "attention has 7 keys, no square" "$@" --heatmap "$pictures/source_down.png=$out/a.png" --position 2
    refuses "a position behind the end" 1 "--position is 5; want 0 to 4" "$@" \
        --heatmap "$pictures/source_down.png=$out/a.png" --position 5 --grid 1x7
    refuses "a head behind the last" 1 "--head is 4; want 0 to 3" "$@" --heatmap "$pictures/source_down.png=$out/a.png" \
        --position 0 --head 4 --grid 1x7
    refuses "no picture" 1 "begin neither as PNG nor as JPEG" "$@" --heatmap "$cross/in_text.npy=$out/a.png" --position 0 \
        --grid 1x7
    refuses "a family without attention" 1 "attention" run "$llava" --input "vision=$llava/in_vision.npy" \
        --heatmap "$pictures/source_down.png=$out/a.png" --position 0
    relevance=$data/relevance_large_picture
    set -- run "$relevance" --image "$pictures/source_down.png" --input "query=$relevance/in_query.npy"
    accepts "a map of relevance" "$@" --heatmap "$pictures/source_down.png=$out/a.png"
    shows "its size" "[90, 61, 3]"
    refuses "its grid is known" 1 "--grid is 2x2, 4 cells; want 9" "$@" --heatmap "$pictures/source_down.png=$out/b.png" --grid 2x2
    refuses "a family without relevance" 1 "relevance" run "$llava" --input "vision=$llava/in_vision.npy" \
        --heatmap "$pictures/source_down.png=$out/b.png"
    rm -f "$out"/*
    refuses "a family that does not start from pixels" 1 "llava does not start from pixels; want --input vision=" run "$llava" \
        --image "$pictures/source_down.png" --output "tokens=$out/t.npy"
    refuses "--image beside its input" 2 "want one of them" run "$early" --image a.png --input image=b.npy --output tokens=t.npy
    check "failures leave no file" no_leftovers "$out"
    cp "$early/config.json" "$early/model.safetensors" "$out"
    printf '{"size": {"height": 8, "width": 12}}' >"$out/preprocessor_config.json"
    accepts "an image as the checkpoint wants it" run "$out" --image "$pictures/jpeg_rgb.jpg" --output "tokens=$out/t.npy"
    shows "its tokens" "[1, 6, 24]"
    cp "$data/fuyu_image/config.json" "$data/fuyu_image/model.safetensors" "$out"
    printf '{"patch_size": {"height": 3, "width": 3}}' >"$out/preprocessor_config.json"
    accepts "a family that starts from pixels" run "$out" --image "$pictures/jpeg_rgb.jpg" --output "tokens=$out/t.npy"
    shows "patches of 3 of 35 x 43 pixels" "[1, 180, 32]"
    printf '{"size": {"height": 9, "width": 9}}' >"$out/preprocessor_config.json"
    refuses "an image that shrinks to nothing" 1 "--image is 80 x 2 pixels; want one of each side left in 9 x 9" run "$out" \
        --image "$pictures/source_tall.png" --output "tokens=$out/t.npy"
    refuses "an image of another size" 1 "early_fusion: " run "$early" --image "$pictures/jpeg_rgb.jpg" --output "tokens=$out/t.npy"
    rm -rf "$out"
}

# Token counts, and the cost of modules, where there is no driver at all.
planning() {
    if (
        OCL_ICD_VENDORS=$work/no_drivers
        export OCL_ICD_VENDORS
        run_command 0 plan llava_next --size 480x640 --size 1080x1920 --json && is_json "$work/stdout" &&
            grep -q '"tokens": 2340' "$work/stdout" && grep -q '"tokens": 1948' "$work/stdout" &&
            run_command 0 plan linear_projection --set vision_dim=1024 --set llm_dim=4096 &&
            grep -q '^parameters  *4198400$' "$work/stdout" && run_command 0 inspect "$data/llava_basic"
    ); then pass; else fail "plans and inspect need no device"; fi
    accepts "a list of names" plan --list --json
    check "the list is JSON" is_json "$work/stdout"
    shows "a family in the list" '{"name": "mllama", "takes": "--size HxW"}'
    shows "a module in the list" '{"name": "linear_projection", "takes": "vision_dim llm_dim"}'
    shows "options that change no tensor" '{"name": "top_k", "takes": "k order"}'
    accepts "a plan for people" plan tiles --size 672x672 --set context=4096
    shows "share of a context" "0.703"
    accepts "a plan of a folder" plan "$data/vipllava_basic" --size 30x20
    shows "the family of the folder" "vipllava"
    accepts "a plan of a checkpoint" plan "$data/vipllava_basic"
    shows "what it gives" "[B, N, "
    accepts "shapes of a module" plan perceiver_resampler --shape vision=3x577x1024 --json
    check "the module is JSON" is_json "$work/stdout"
    shows "shape of its output" '"shape": [3, 64, 256]'
    shows "its parameters" '"parameters": 2653440'
    accepts "lengths of a module" plan mlp_projection --set num_visual_tokens=10 --set text_seq_len=3
    shows "lengths add up" "[1, 13, 256]"
    accepts "an option that decides tensors" plan mlp_projection --set vision_dim=512
    accepts "options that decide no tensor" plan top_k --set k=3 --set order=score
    accepts "a key of a checkpoint" plan "$data/llava_basic" --set projector_hidden_act=relu
    notes "a misspelt option of a module" "note: nothing here reads --set text_seq_length=3;" plan mlp_projection \
        --set num_visual_tokens=10 --set text_seq_length=3
    notes "a misspelt key of a family" "note: nothing here reads --set patchsize=7;" plan llava_next --size 480x640 \
        --set patchsize=7
    refuses "plan nothing" 2 "no family" plan
    refuses "a family without a picture" 2 "want --size HxW" plan llava
    for size in 3 3x 0x4 4x0 x4 3x4x5 -3x4 3x99999999999; do
        refuses "size '$size'" 2 "--size is $size" plan llava "--size=$size"
    done
    for shape in vision vision= vision=3x =3 vision=0x3 vision=1x2x3x4x5x6x7; do
        refuses "shape '$shape'" 2 "--shape is $shape" plan perceiver_resampler "--shape=$shape"
    done
    refuses "a shape of no input" 1 "--shape of pixels" plan perceiver_resampler --shape pixels=3
    refuses "an unknown family" 1 "unsupported" plan frobnicator --size 3x4
    refuses "an unknown module" 1 "unsupported" plan frobnicator
    refuses "an option that is missing" 1 "vision_dim is missing" plan linear_projection
    refuses "a folder without configuration" 1 "config.json" plan "$work" --size 3x4
    refuses "run on no device" 1 "the context has no device" run "$data/vipllava_basic" --device none \
        --input "vision=$data/vipllava_basic/in_vision.npy" --output "tokens=$work/none.npy"
    check "no file came of it" [ ! -e "$work/none.npy" ]
}

device_list() {
    accepts "devices" devices
    shows "a device is picked" "picked"
    accepts "devices --json" devices --json
    check "devices --json is JSON" is_json "$work/stdout"
    shows "devices --json tells the reason" '"reason"'
    accepts "devices by number" devices --device 0:0
    refuses "no such device" 1 "no-such-device" devices --device no-such-device
    refuses "no such device in a run" 1 "no-such-device" selftest --device no-such-device
    CLFUSION_DEVICE=from-environment
    export CLFUSION_DEVICE
    refuses "the environment names the device" 1 "from-environment" selftest
    accepts "the list does not depend on the environment" devices
    shows "the list tells why none is picked" 'CLFUSION_DEVICE is "from-environment"'
    check "the list picks none" not_in_stdout "^choice *picked"
    shows "the list has devices" "possible"
    accepts "the list as JSON without a pick" devices --json
    check "devices --json without a pick is JSON" is_json "$work/stdout"
    unset CLFUSION_DEVICE
    refuses "an option names no device" 1 "choose another --device" devices --device no-such-device
    check "no driver is missing" not_in_stderr "install"
    mkdir -p "$work/no_drivers"
    if (
        OCL_ICD_VENDORS=$work/no_drivers
        export OCL_ICD_VENDORS
        run_command 1 devices && one_line && run_command 1 selftest && one_line && [ ! -s "$work/stdout" ]
    ); then pass; else fail "no OpenCL is one calm line"; fi
    mkdir -p "$work/no_loader"
    echo none >"$work/no_loader/libOpenCL.so.1"
    echo none >"$work/no_loader/libOpenCL.so"
    if (
        LD_LIBRARY_PATH=$work/no_loader
        export LD_LIBRARY_PATH
        run_command 1 devices && one_line && grep -q OpenCL "$work/stderr" && run_command 0 bench --list
    ); then pass; else fail "no OpenCL loader is one calm line"; fi
    if [ -w /dev/full ]; then
        "$command" devices >/dev/full 2>"$work/stderr"
        status=$?
        check "a full disk behind stdout" [ "$status" -eq 1 ]
        check "a full disk is one line" one_line
    else
        skipped=$((skipped + 1))
        echo "skipped: /dev/full is not there"
    fi
}

inspection() {
    accepts "inspect" inspect "$data/llava_basic"
    for text in llava "[B, N, 40]" "[B, N, 56]" multi_modal_projector.linear_1.weight "[56, 40]" 5488 21952; do
        shows "inspect shows $text" "$text"
    done
    accepts "inspect --json" inspect "$data/llava_basic" --json
    check "inspect --json is JSON" is_json "$work/stdout"
    shows "FLOP of a call" '"flop": 6193152' # 576 tokens of 40 * 56 + 56 * 56 multiply-adds
    accepts "inspect a layer" inspect "$data/idefics_float" --layer 1
    refuses "a layer too many" 1 "layer is 2; want 0 to 1: the checkpoint has 2 layers; give --layer another value" \
        inspect "$data/idefics_float" --layer 2
    refuses "a family of one layer" 1 "layer is 1; want 0: the family has 1 layer; give --layer another value" \
        inspect "$data/aria_basic" --layer 1
    accepts "inspect as f16" inspect "$data/llava_basic" --weights f16 --json
    refuses "inspect nothing" 1 "$work/nothing" inspect "$work/nothing"
    mkdir -p "$work/broken"
    cp "$data/llava_basic/config.json" "$work/broken/"
    head -c 100 "$data/llava_basic/model.safetensors" >"$work/broken/model.safetensors"
    refuses "a cut checkpoint" 1 "safetensors" inspect "$work/broken"
    refuses "an unknown family" 1 "unsupported" inspect "$data/llava_basic" --family frobnicator
    check "the advice is about --family" grep -q "give --family another name" "$work/stderr"
    refuses "tensors of another family" 1 "is missing" inspect "$data/llava_basic" --family vipllava
    check "the advice is to leave --family out" grep -q "leave out --family" "$work/stderr"
    refuses "a value of --set" 1 "give --set another value" inspect "$data/llava_basic" --set projector_hidden_act=foo
    mkdir -p "$work/activation"
    cp "$data/llava_basic/model.safetensors" "$work/activation/"
    sed 's/"model_type": "llava",/&"projector_hidden_act": "foo",/' "$data/llava_basic/config.json" \
        >"$work/activation/config.json"
    refuses "the same value in the file" 1 "choose another checkpoint" inspect "$work/activation"
    notes "a misspelt key" "note: nothing here reads --set projector_hiden_act=relu;" inspect "$data/llava_basic" \
        --set projector_hiden_act=relu --set projector_hidden_act=relu
    notes "a newline in a value" "note: nothing here reads --set a=b" inspect "$data/llava_basic" --set "a=b
c"
    refuses "a key that is not read beside another error" 1 "is missing" inspect "$data/llava_basic" --family vipllava --set a=1
    accepts "help beside a key" inspect --set a=1 --help
    accepts "a key that chooses the family" diagnose "$data/gated_cross_attention_stack_alpha" \
        --set module=gated_cross_attention_stack
    notes "a key that the gates do not need" "note: nothing here reads --set a=1;" diagnose \
        "$data/gated_cross_attention_stack_alpha" --set a=1
    mkdir -p "$work/hostile"
    cp "$data/llava_basic/model.safetensors" "$work/hostile/"
    printf '{"model_type": "a\\nb\\u001b[31m"}' >"$work/hostile/config.json"
    refuses "a newline in a path" 1 "no?where" inspect "$work/no
where"
    refuses "a hostile family stays one line" 1 "unsupported" inspect "$work/hostile"
}

# Every folder: what in_*.npy there is goes in, every out_*.npy must come out.
oracle() {
    for folder in "$data"/*/; do
        name=$(basename "$folder")
        set -- run "$folder"
        for file in "$folder"in_*.npy; do
            input=$(basename "$file" .npy)
            set -- "$@" --input "${input#in_}=$file"
        done
        for file in "$folder"out_*.npy; do
            output=$(basename "$file" .npy)
            set -- "$@" --output "${output#out_}=$work/$output.npy"
        done
        [ -f "$folder/command_line" ] && eval "set -- \"\$@\" $(cat "$folder/command_line")"
        if ! run_command 0 "$@"; then
            fail "$name: status $status"
            continue
        fi
        for file in "$folder"out_*.npy; do
            check "$name: $(basename "$file")" same_values "$work/$(basename "$file")" "$file" "$(tolerance "$name")"
        done
        rm -f "$work"/out_*.npy
    done
}

# f32 rounding of sums of at most some thousand terms; the oracle computes f16 and bf16 checkpoints in f32, too.
tolerance() {
    echo 2e-5
}

llava="$data/llava_basic"
fusion="$data/llava_fusion_mlp"

running() {
    vision=$llava/in_vision.npy
    out=$work/out
    mkdir -p "$out"
    accepts "run" run "$llava" --input "vision=$vision" --output "tokens=$out/t.npy"
    shows "run names the file" "$out/t.npy"
    check "no temporary file is left" no_leftovers "$out" t.npy
    accepts "run --json" run "$llava" --input "vision=$vision" --output "tokens=$out/t2.npy" --json
    check "run --json is JSON" is_json "$work/stdout"
    check "two runs give the same bits" cmp -s "$out/t.npy" "$out/t2.npy"
    accepts "f16 result" run "$llava" --input "vision=$vision" --output "tokens=$out/h.npy" --output-type f16
    check "f16 in the header" grep -q "'<f2'" "$out/h.npy"
    accepts "f16 weights" run "$llava" --input "vision=$vision" --output "tokens=$out/w.npy" --weights f16
    check "f16 weights are near" same_values "$out/w.npy" "$out/t.npy" 4e-3
    check "f16 weights are other weights" differ "$out/w.npy" "$out/t.npy"
    accepts "another activation" run "$llava" --input "vision=$vision" --output "tokens=$out/r.npy" \
        --set projector_hidden_act=relu
    check "--set changes the result" differ "$out/r.npy" "$out/t.npy"
    accepts "one file with --family" run "$llava/model.safetensors" --family llava --input "vision=$vision" \
        --output "tokens=$out/s.npy"
    check "the file alone gives the same bits" cmp -s "$out/s.npy" "$out/t.npy"
    rm -rf "$out"
}

differ() {
    ! cmp -s "$1" "$2"
}

timing() {
    out=$work/out
    mkdir -p "$out"
    accepts "repeat" run "$llava" --input "vision=$llava/in_vision.npy" --output "tokens=$out/t.npy" --repeat 3
    for text in first_call_ms minimum_ms median_ms gflops launches peak_device_bytes; do
        shows "repeat prints $text" "$text"
    done
    check "repeat writes the right result" same_values "$out/t.npy" "$llava/out_tokens.npy" 2e-5
    accepts "repeat as JSON" run "$llava" --input "vision=$llava/in_vision.npy" --output "tokens=$out/t.npy" \
        --repeat 3 --json --profile "$out/p.json"
    check "repeat --json is JSON" is_json "$work/stdout"
    check "the profile is JSON" is_json "$out/p.json"
    check "the profile has kernels" grep -q '"ph": "X"' "$out/p.json"
    kernels=$(grep '"ph": "X"' "$out/p.json" | grep -vc '"name": "\(upload\|download\)"')
    check "calls launch alike" test "$kernels" -gt 0 -a $((kernels % 4)) -eq 0
    shows "the launches of a call are a quarter of the profile's kernels" "\"launches\": $((kernels / 4)),"
    check "no temporary file is left" no_leftovers "$out" t.npy p.json
    accepts "a name that JSON must escape" run "$llava" --input "vision=$llava/in_vision.npy" \
        --output "tokens=$out/a\"b\\c	d.npy" --json
    check "the escaped name is JSON" is_json "$work/stdout"
    rm -rf "$out"
}

# The same numbers in every type: 1.0 in two rows of 40.
types() {
    out=$work/out
    mkdir -p "$out"
    bytes 80 '\000\000\200\077' | write_npy "$out/f32.npy" '<f4' '(1, 2, 40)'
    bytes 80 '\000\000\000\000\000\000\360\077' | write_npy "$out/f64.npy" '<f8' '(1, 2, 40)'
    bytes 80 '\000\074' | write_npy "$out/f16.npy" '<f2' '(1, 2, 40)'
    bytes 80 '\000\000\200\077' | write_npy "$out/rows.npy" '<f4' '(2, 40)'
    for type in f32 f64 f16 rows; do
        accepts "$type values" run "$llava" --input "vision=$out/$type.npy" --output "tokens=$out/t_$type.npy"
    done
    check "f64 equals f32" cmp -s "$out/t_f64.npy" "$out/t_f32.npy"
    check "f16 equals f32" same_values "$out/t_f16.npy" "$out/t_f32.npy" 1e-6
    check "a missing batch is missing in the output" grep -q "(2, 56)" "$out/t_rows.npy"

    ids=$(npy_values "$fusion/in_text_ids.npy" | tr '\n' ' ')
    shape=$(npy_header "$fusion/in_text_ids.npy" | sed "s/.*'shape': \(([^)]*)\).*/\1/")
    for id in $ids; do bytes 1 "\\$(printf %03o "$id")"; done | write_npy "$out/u8.npy" '|u1' "$shape"
    for id in $ids; do bytes 1 "\\$(printf %03o "$id")\\000\\000\\000"; done | write_npy "$out/i32.npy" '<i4' "$shape"
    for type in u8 i32; do
        accepts "$type ids" run "$fusion" --input "vision=$fusion/in_vision.npy" --input "text_ids=$out/$type.npy" \
            --output "fused=$out/fused.npy"
        check "$type ids give the oracle's result" same_values "$out/fused.npy" "$fusion/out_fused.npy" 2e-5
    done
    rm -rf "$out"
}

# keeps NAME TEXT ARGUMENT...: a run that fails leaves the folder as it was.
keeps() {
    keeps_name=$1
    keeps_text=$2
    shift 2
    refuses "$keeps_name" 1 "$keeps_text" run "$@"
    check "$keeps_name: nothing appears" no_leftovers "$out" old.npy
    check "$keeps_name: what was there stays" grep -q '^old$' "$out/old.npy"
}

failures() {
    vision=$llava/in_vision.npy
    out=$work/out
    in=$work/in
    mkdir -p "$out" "$in"
    echo old >"$out/old.npy"
    bytes 0 x | write_npy "$in/zero.npy" '<f4' '(1, 0, 40)'
    bytes 80 '\000\000\200\077' | write_npy "$in/wide.npy" '<f4' '(1, 2, 41)'
    bytes 82 '\000\000\200\077' | write_npy "$in/odd.npy" '<f4' '(1, 2, 41)'
    bytes 81 '\000\000\200\077' | write_npy "$in/long.npy" '<f4' '(1, 2, 40)'
    bytes 80 '\000\000\200\077' | write_npy "$in/words.npy" '<i4' '(1, 2, 40)'
    echo "no npy" >"$in/text.npy"

    keeps "a missing input" "vision" "$llava" --output "tokens=$out/old.npy"
    keeps "an unknown input" "pixels" "$llava" --input "vision=$vision" --input "pixels=$vision" \
        --output "tokens=$out/old.npy"
    keeps "an unknown output" "logits" "$llava" --input "vision=$vision" --output "logits=$out/old.npy"
    keeps "a missing file" "$in/none.npy" "$llava" --input "vision=$in/none.npy" --output "tokens=$out/old.npy"
    keeps "no npy file" "text.npy" "$llava" --input "vision=$in/text.npy" --output "tokens=$out/old.npy"
    keeps "bytes behind the array" "long.npy" "$llava" --input "vision=$in/long.npy" --output "tokens=$out/old.npy"
    keeps "too few bytes" "wide.npy" "$llava" --input "vision=$in/wide.npy" --output "tokens=$out/old.npy"
    keeps "another width" "41" "$llava" --input "vision=$in/odd.npy" --output "tokens=$out/old.npy"
    keeps "zero tokens" "[1, 0, 40]" "$llava" --input "vision=$in/zero.npy" --output "tokens=$out/old.npy"
    keeps "whole numbers as values" "i32" "$llava" --input "vision=$in/words.npy" --output "tokens=$out/old.npy"
    keeps "no checkpoint" "$work/nothing" "$work/nothing" --input "vision=$vision" --output "tokens=$out/old.npy"
    keeps "no folder for one of two outputs" "$out/none/t.npy" "$data/llava_fusion_mlp" \
        --input "vision=$data/llava_fusion_mlp/in_vision.npy" \
        --input "text_ids=$data/llava_fusion_mlp/in_text_ids.npy" \
        --output "fused=$out/old.npy" --output "tokens=$out/none/t.npy"
    keeps "no folder for the profile" "$out/none/p.json" "$llava" --input "vision=$vision" \
        --output "tokens=$out/old.npy" --profile "$out/none/p.json"
    keeps "an unsupported family" "unsupported" "$llava" --input "vision=$vision" --output "tokens=$out/old.npy" \
        --family frobnicator
    keeps "a newline in a name" "want one of vision" "$llava" --input "vi
sion=$vision" --output "tokens=$out/old.npy"
    keeps "a folder as the profile" "there is a folder" "$llava" --input "vision=$vision" \
        --output "tokens=$out/old.npy" --profile "$in"
    keeps "a folder as one of two outputs" "there is a folder" "$fusion" --input "vision=$fusion/in_vision.npy" \
        --input "text_ids=$fusion/in_text_ids.npy" --output "fused=$out/old.npy" --output "tokens=$in"
    special "$in"
    full_stdout
    later_failure
    rm -rf "$out" "$in"
}

# rename would replace what is no file.
special() { # FOLDER
    mkfifo "$1/fifo"
    keeps "a FIFO as output" "device, pipe or socket" "$llava" --input "vision=$vision" --output "tokens=$1/fifo"
    keeps "a FIFO as profile" "device, pipe or socket" "$llava" --input "vision=$vision" \
        --output "tokens=$out/old.npy" --profile "$1/fifo"
    refuses "a FIFO as profile of the bench" 1 "device, pipe or socket" bench cast --repeat 1 --profile "$1/fifo"
    check "the FIFO is still there" [ -p "$1/fifo" ]
    if mknod "$1/device" c 1 3 2>/dev/null; then
        keeps "a device as profile" "device, pipe or socket" "$llava" --input "vision=$vision" \
            --output "tokens=$out/old.npy" --profile "$1/device"
        check "the device is still there" [ -c "$1/device" ]
    else
        skipped=$((skipped + 1))
        echo "skipped: only root makes devices"
    fi
}

# Who cannot be told of the result gets none.
full_stdout() {
    if [ -w /dev/full ]; then
        "$command" run "$llava" --input "vision=$vision" --output "tokens=$out/t.npy" --profile "$out/p.json" \
            >/dev/full 2>"$work/stderr"
        check "a full stdout fails the run" [ $? -eq 1 ]
        check "a full stdout is one line" one_line
        check "a full stdout: nothing appears" no_leftovers "$out" old.npy
        "$command" bench cast --repeat 1 --profile "$out/p.json" >/dev/full 2>"$work/stderr"
        check "a full stdout fails the bench" [ $? -eq 1 ]
        check "a full stdout of the bench: nothing appears" no_leftovers "$out" old.npy
    fi
    "$command" run "$llava" --input "vision=$vision" --output "tokens=$out/t.npy" >&- 2>"$work/stderr"
    check "a closed stdout fails the run" [ $? -eq 1 ]
    check "a closed stdout: nothing appears" no_leftovers "$out" old.npy
    # the profile is the first file that the bench opens: it must not take the number of stdout
    "$command" bench cast --repeat 1 --profile "$out/p.json" >&- 2>"$work/stderr"
    check "a closed stdout fails the bench" [ $? -eq 1 ]
    check "a closed stdout of the bench: nothing appears" no_leftovers "$out" old.npy
}

# A rename that no check foresees: the line names what is there.
later_failure() {
    echo old >"$in/fixed.npy"
    if ! chattr +i "$in/fixed.npy" 2>/dev/null; then
        skipped=$((skipped + 1))
        echo "skipped: no immutable files here"
        return
    fi
    run_command 1 run "$fusion" --input "vision=$fusion/in_vision.npy" --input "text_ids=$fusion/in_text_ids.npy" \
        --output "fused=$out/fused.npy" --output "tokens=$in/fixed.npy" --profile "$out/p.json"
    check "a later rename that fails: the status" [ "$status" -eq 1 ]
    check "a later rename that fails: one line" one_line
    check "a later rename that fails: what is there" grep -q "only written: fused$" "$work/stderr"
    check "a later rename that fails: nothing else is" no_leftovers "$out" old.npy fused.npy
    check "a later rename that fails: the old file" grep -q '^old$' "$in/fixed.npy"
    chattr -i "$in/fixed.npy"
    rm -f "$out/fused.npy"
}

# Inputs that no output asks for are not looked at: no memory, no rule of their shape.
unneeded() {
    out=$work/out
    in=$work/in
    mkdir -p "$out" "$in"
    bytes 0 x | write_npy "$in/zero.npy" '<f4' '(1, 0, 56)'
    bytes 0 x | write_npy "$in/ids.npy" '<i8' '(1, 0)'
    bytes 8192 '\000\000\200\077' | write_npy "$in/text.npy" '<f4' '(1, 1024, 8)'
    set -- run "$fusion" --input "vision=$fusion/in_vision.npy" --output "tokens=$out/t.npy" --repeat 1 --json
    accepts "no text" "$@"
    memory=$(grep -o '"peak_device_bytes": [0-9]*' "$work/stdout")
    accepts "text that is not needed" "$@" --input "text_ids=$in/text.npy"
    check "text that is not needed takes no memory" grep -q "$memory\$\|$memory," "$work/stdout"
    accepts "empty text that is not needed" "$@" --input "text_ids=$in/zero.npy"
    refuses "empty text that is needed" 1 "[1, 0]" run "$fusion" --input "vision=$fusion/in_vision.npy" \
        --input "text_ids=$in/ids.npy" --output "fused=$out/t.npy"
    rm -rf "$out" "$in"
}

# A signal while a file is open: it has no name yet, so nothing is left.
interrupted() {
    out=$work/out
    mkdir -p "$out"
    "$command" bench cast --repeat 1000000 --profile "$out/p.json" >"$work/stdout" 2>"$work/stderr" &
    bench=$!
    tries=0
    # shellcheck disable=SC2010 # the links' targets, not the names
    until ls -l "/proc/$bench/fd" 2>/dev/null | grep -q "$out/" || [ -n "$(ls -A "$out")" ] || [ "$tries" -ge 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    named=$(ls -A "$out")
    check "the profile is opened before the rounds" [ "$tries" -lt 100 ]
    kill -TERM "$bench"
    wait "$bench" 2>/dev/null
    check "a signal ends the bench" [ $? -gt 128 ]
    if [ -z "$named" ]; then
        check "a signal leaves nothing" no_leftovers "$out"
    else
        skipped=$((skipped + 1))
        echo "skipped: this file system has no files without a name"
    fi
    rm -rf "$out"
}

suite() {
    accepts "selftest" selftest
    for family in linear projector layer_norm rms_norm l2_norm activate add scale copy cast gather; do
        check "selftest: $family" grep -qE "^$family +passed" "$work/stdout"
    done
    accepts "selftest --json" selftest --json
    check "selftest --json is JSON" is_json "$work/stdout"
    accepts "selftest with f16 weights" selftest --weights f16
    for kernels in simd tile ref; do
        CLFUSION_KERNELS=$kernels
        export CLFUSION_KERNELS
        accepts "selftest with $kernels kernels" selftest
        unset CLFUSION_KERNELS
    done
    accepts "bench --list" bench --list
    shows "the list names cases" "projector.llava_1_5_7b"
    accepts "bench --list --json" bench --list --json
    check "bench --list --json is JSON" is_json "$work/stdout"
    accepts "one case" bench rms_norm.latents --repeat 3
    shows "the case is there" "rms_norm.latents"
    accepts "one case as JSON" bench linear.qformer --repeat 3 --json
    check "bench --json is JSON" is_json "$work/stdout"
    shows "bench measures the peak" '"peak_fma_gflops"'
    check "bench counts launches" grep -q '"launches": [1-9]' "$work/stdout"
    check "bench tells processor time" grep -q '"cpu_ms": 0*[.0]*[1-9]' "$work/stdout"
    refuses "an unknown case" 1 "no_such_case" bench no_such_case
    mkdir -p "$work/out"
    accepts "selftest takes the common options" selftest --repeat 2 --family llava --set a=b \
        --profile "$work/out/selftest.json"
    check "the profile of the selftest is JSON" is_json "$work/out/selftest.json"
    check "the profile of the selftest has kernels" grep -q '"ph": "X"' "$work/out/selftest.json"
    accepts "bench takes the common options" bench cast --repeat 2 --family llava --set a=b \
        --profile "$work/out/bench.json"
    check "the profile of the bench has kernels" grep -q '"ph": "X"' "$work/out/bench.json"
    check "no temporary file is left" no_leftovers "$work/out" bench.json selftest.json
    refuses "a folder as profile of the bench" 1 "there is a folder" bench cast --repeat 1 --profile "$work/out"
    refuses "a folder as profile of the selftest" 1 "there is a folder" selftest --profile "$work/out"
    rm -rf "$work/out"
}

# head_entropy FILE HEADS ROWS KEYS HEAD: the mean of -sum p ln p over all rows of one head of weights [B, H, Q, K].
head_entropy() {
    npy_values "$1" | awk -v heads="$2" -v rows="$3" -v keys="$4" -v head="$5" '
        { i = NR - 1 }
        int(i / keys / rows) % heads == head && $1 > 0 { sum -= $1 * log($1) }
        END { printf "%.5f", sum / (NR / keys / heads) }'
}

# shows_number NAME KEY VALUE: some "KEY": of the JSON is within 1e-4 of the value.
shows_number() {
    if grep -o "\"$2\": [-0-9.e]*" "$work/stdout" | awk -v want="$3" '
        { d = $2 - want; if (d < 0) d = -d }
        d < 1e-4 { found = 1 }
        END { exit !found }'; then pass; else fail "$1: no $2 of $3"; fi
}

# different_numbers COUNT KEY: the JSON has COUNT numbers "KEY":, no two the same.
different_numbers() {
    [ "$(grep -o "\"$2\": [-0-9.e]*" "$work/stdout" | wc -l)" -eq "$1" ] &&
        [ "$(grep -o "\"$2\": [-0-9.e]*" "$work/stdout" | sort -u | wc -l)" -eq "$1" ]
}

# blind_difference LAYER: how much hidden of mllama changes when media is zeros, from two runs.
blind_difference() {
    head -c $((4 * $(npy_values "$mllama/in_media.npy" | wc -l))) /dev/zero | write_npy "$work/dark_media.npy" "<f4" \
        "$(npy_header "$mllama/in_media.npy" | sed "s/.*'shape': \(([^)]*)\).*/\1/")"
    for blind_media in "$mllama/in_media.npy" "$work/dark_media.npy"; do
        "$command" run "$mllama" --layer "$1" --input "text=$mllama/in_text.npy" --input "media=$blind_media" \
            --input "cross_mask=$mllama/in_cross_mask.npy" --output "hidden=$work/hidden.npy" >"$work/ignored" || return 1
        npy_values "$work/hidden.npy" >"$work/hidden.$(basename "$blind_media")"
    done
    paste "$work/hidden.in_media.npy" "$work/hidden.dark_media.npy" | awk '
        { change += ($1 - $2) ^ 2; size += $1 ^ 2 }
        END { printf "%.6f", sqrt(change / size) }'
}

same_entropy() { awk -v a="$1" -v b="$2" 'BEGIN { exit a - b < 1e-5 && b - a < 1e-5 ? 0 : 1 }'; }

diagnosis() {
    mllama=$data/mllama_basic
    set -- "$mllama" --input "text=$mllama/in_text.npy" --input "media=$mllama/in_media.npy" \
        --input "cross_mask=$mllama/in_cross_mask.npy"
    accepts "diagnose" diagnose "$mllama"
    for text in mllama "gated_layers        2" layers.3.cross_attn_mlp_gate -0.8639; do
        shows "diagnose shows $text" "$text"
    done
    check "no entropies without inputs" not_in_stdout entropy
    accepts "diagnose --json" diagnose "$mllama" --json
    check "diagnose --json is JSON" is_json "$work/stdout"
    shows_number "a gate of the second layer" tanh 0.271439
    if (
        OCL_ICD_VENDORS=$work/no_drivers
        export OCL_ICD_VENDORS
        run_command 0 diagnose "$mllama"
    ); then pass; else fail "the gates need no device"; fi
    accepts "diagnose with inputs" diagnose "$@" --json
    check "diagnose with inputs is JSON" is_json "$work/stdout"
    for head in 0 3; do # weights of the oracle, layer by layer: 4 heads, 5 rows of text, 10 keys
        shows_number "entropy of head $head" entropy "$(head_entropy "$mllama/out_attention.npy" 4 5 10 "$head")"
        shows_number "layer 1, head $head" entropy "$(head_entropy "$mllama/layer1_attention.npy" 4 5 10 "$head")"
    done
    for layer in 0 1; do
        shows_number "blind baseline of layer $layer" difference "$(blind_difference "$layer")"
    done
    accepts "an entropy map" diagnose "$@" --entropy "$work/entropy.npy"
    check "layers, heads and positions" grep -aq "'shape': (2, 1, 4, 5)" "$work/entropy.npy"
    npy_values "$work/entropy.npy" | awk 'NR <= 5 { sum += $1 } END { printf "%.6f\n", sum / 5 }' >"$work/stdout"
    check "its rows are those of the head" same_entropy "$(cat "$work/stdout")" \
        "$(head_entropy "$mllama/out_attention.npy" 4 5 10 0)"
    refuses "a map without inputs" 2 "--entropy is given without inputs" diagnose "$mllama" --entropy "$work/e.npy"
    refuses "a map of no attention" 1 "no layer gives attention" diagnose "$data/llava_basic" \
        --input "vision=$data/llava_basic/in_vision.npy" --entropy "$work/e.npy"
    refuses "a map in no folder" 1 "nowhere" diagnose "$@" --entropy "$work/nowhere/e.npy"
    check "no map came of it" [ ! -e "$work/e.npy" ]
    accepts "diagnose for people" diagnose "$@"
    shows "the table of heads" "relative_entropy"
    check "no warning" not_in_stdout warning
    accepts "layers and a projector" diagnose "$@" --input "vision=$mllama/in_vision.npy" --json
    check "what is of no layer stands there once" different_numbers 3 difference
    stack=$data/gated_cross_attention_stack_alpha
    accepts "a stack" diagnose "$stack" --input "text=$stack/in_text.npy" --input "vision=$stack/in_vision.npy" --json
    check "a stack changes by another share behind each of its layers" different_numbers 3 difference
    for stack in latent_resampler_residual_f16:3 blip2_basic:2 openflamingo_frames_bf16:2; do
        accepts "layers of $stack" diagnose "$data/${stack%:*}" --input "vision=$data/${stack%:*}/in_vision.npy" --json
        check "so does $stack" different_numbers "${stack#*:}" difference
    done
    accepts "no gates" diagnose "$llava" --json
    shows "a model without gates" '"gated_layers": 0'
    bytes 1600 '\000' | write_npy "$work/dark.npy" "<f4" "(1, 10, 40)"
    accepts "the dark" diagnose "$llava" --input "vision=$work/dark.npy"
    shows "a warning in the dark" "layer 0: tokens changes by 0 of itself without the picture: it may be ignored"
    # one gate of 0, as training begins with: the length of the header, the header, 4 bytes
    printf '\100\0\0\0\0\0\0\0%-64s\0\0\0\0' '{"alpha":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' \
        >"$work/closed.safetensors"
    accepts "a closed gate" diagnose "$work/closed.safetensors" --family gated_cross_attention
    shows "a warning of the closed gate" "alpha is 0: the branch adds nothing"
    refuses "diagnose nothing" 1 "$work/nothing" diagnose "$work/nothing"
    refuses "diagnose an unknown family" 1 "unsupported" diagnose "$llava" --family frobnicator
    refuses "diagnose a missing file" 1 "$work/none.npy" diagnose "$llava" --input "vision=$work/none.npy"
    refuses "an input that the family does not know" 1 "pixels" diagnose "$llava" --input "pixels=$work/dark.npy"
    for pixels in fuyu_image early_fusion_pixels; do
        accepts "a blind baseline of $pixels" diagnose "$data/$pixels" --input "image=$data/$pixels/in_image.npy" --json
        check "its tokens" different_numbers 1 difference
    done
    accepts "a blind baseline of pruning" diagnose "$data/importance_prune_basic" \
        --input "vision=$data/importance_prune_basic/in_vision.npy" --json
    shows "no token is kept in the dark" '"output": "tokens", "difference": 1.000000000'
    holes=$data/blip2_retrieval_placeholders # text_embeds cannot be computed from such ids
    accepts "what values allow" diagnose "$holes" --input "vision=$holes/in_vision.npy" \
        --input "text_ids=$holes/in_text_ids.npy" --json
    check "its other outputs" different_numbers 3 difference
    refuses "text alone" 1 "media is missing" diagnose "$mllama" --input "text=$mllama/in_text.npy"
    printf '' | write_npy "$work/empty.npy" "<f4" "(1, 0, 40)"
    refuses "an empty input" 1 "want at least one element" diagnose "$llava" --input "vision=$work/empty.npy"
}

: >"$work/stdout"
: >"$work/stderr"
usage_and_help
planning
device_list
inspection
[ "${CLF_TEST_FOLDERS:-yes}" = no ] || oracle
running
diagnosis
timing
types
failures
unneeded
interrupted
pictures
suite

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
