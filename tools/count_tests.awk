# Sums the cases of a `ctest --verbose` log: cmocka's closing lines, lines "N passed, M failed, K skipped" of scripts,
# and one case for a program that prints neither.  A program that ended badly without naming a failed case counts as
# one failure.  Prints the output of failed programs, names what was skipped, and closes with the totals.
#
# Lines of the log: "12: text" is output of program 12; "3/34 Test #12: name ...   Passed   0.03 sec" is its result.

match($0, /^[0-9]+: ?/) {
    id = substr($0, 1, index($0, ":") - 1)
    text = substr($0, RLENGTH + 1)
    output[id] = output[id] text "\n"
    count_line(id, text)
    next
}

match($0, /Test +#[0-9]+: /) {
    id = substr($0, RSTART, RLENGTH)
    gsub(/[^0-9]/, "", id)
    rest = substr($0, RSTART + RLENGTH)
    name = rest
    sub(/[ .].*/, "", name)
    programs++
    if (rest ~ /\*\*\*Skipped/)
        skip[id] += (counted[id] ? 0 : 1)
    else if (rest ~ / Passed /)
        pass[id] += (counted[id] ? 0 : 1)
    else if (!fail[id])
        fail[id] = 1
    if (fail[id]) {
        printf "---- %s\n%s", name, output[id]
        bad = bad " " name
    } else if (skip[id]) {
        printf "%s: %d skipped%s\n", name, skip[id], (id in reasons ? ":" reasons[id] : "")
    }
    passed += pass[id]
    failed += fail[id]
    skipped += skip[id]
    delete output[id]
}

/^No tests were found/ { bad = bad " (no tests were found)" }

END {
    if (programs == 0) {
        print "no test program ran"
        failed++
    }
    if (bad != "")
        print "failed:" bad
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    exit failed > 0
}

# A group's closing lines, as "[  PASSED  ] 5 test(s)." and "[  FAILED  ] 1 test(s), listed below:".
function count_line(id, text,    words) {
    if (match(text, /\[ +(PASSED|FAILED|SKIPPED) +\] [0-9]+ test\(s\)/)) {
        split(substr(text, RSTART, RLENGTH), words, /[][ ]+/)
        counted[id] = 1
        if (words[2] == "PASSED")
            pass[id] += words[3]
        else if (words[2] == "FAILED")
            fail[id] += words[3]
        else
            skip[id] += words[3]
    } else if (text ~ /^\[ +ERROR +\] [a-z_0-9]+$/) { # a fixture failed: cmocka's closing lines leave it out
        counted[id] = 1
        fail[id]++
    } else if (text ~ /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/) {
        split(text, words, " ")
        counted[id] = 1
        pass[id] += words[1]
        fail[id] += words[3]
        skip[id] += words[5]
    } else if (text ~ /^skipped: /) {
        reasons[id] = reasons[id] " " substr(text, 10) ";"
    }
}
