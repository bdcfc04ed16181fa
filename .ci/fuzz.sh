#!/bin/sh
# Usage: .ci/fuzz.sh DURATION|COUNTx
# Runs every fuzz target that long (30s) or that often (20000x). A finding fails, and its input
# stays under the package's testdata/fuzz, where `go test` runs it from then on. An input that is
# interesting is made smaller in 100 runs at most: Go would take a minute for each.
set -eu
. "$(dirname "$0")/lib.sh"
amount=${1:?how long (30s) or how often (20000x) to run each target}

find . \( -name node_modules -o -name testdata -o -name '.?*' \) -prune -o -name '*_test.go' -exec grep -H '^func Fuzz[A-Z]' {} + |
    sed 's|^\(.*\)/[^/]*:func \(Fuzz[A-Za-z0-9_]*\).*|\1 \2|' | sort | {
    status=0
    while read -r folder target; do
        step "fuzz $target in $folder: $amount"
        go -C "$folder" test -run '^$' -fuzz "^$target\$" -fuzztime "$amount" -fuzzminimizetime 100x . </dev/null || status=1
    done
    exit "$status"
}
