#!/bin/sh
# Usage: .ci/flaky.sh [ROUNDS [FOLDER...]]
# Runs the Go tests ROUNDS times (20) with the race detector, on two processors, one of which another program wants for
# itself; says which tests failed, and how often. FOLDER limits it to packages: . for the root, ./cluster, ./internal/...
set -eu
. "$(dirname "$0")/lib.sh"
rounds=${1:-20}
[ $# -eq 0 ] || shift
if ! have "$(go env CC)"; then
    echo "The race detector needs a C compiler, and \`$(go env CC)\` is not here." >&2
    exit 1
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/nano-flaky-XXXXXX")
export work GOMAXPROCS=2 CGO_ENABLED=1
bound=
if have taskset; then bound="taskset -c $(taskset -cp $$ | sed 's/.*: //; s/-/,/' | cut -d, -f1,2)"; fi
export bound

step "building the tests, into $work"
if [ $# -eq 0 ]; then modules; else printf '%s\n' .; fi |
    while read -r module; do
        go -C "$module" list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' "${@:-./...}"
    done >"$work/folders"
number=0
while read -r folder; do
    number=$((number + 1))
    go -C "$folder" test -race -c -o "$work/$number.test" .
    echo "$number $folder" >>"$work/packages"
done <"$work/folders"

$bound sh -c 'while :; do :; done' &
hog=$!
# The programs are large; the logs of what failed stay.
trap 'kill "$hog"; rm -f "$work"/*.test' EXIT
trap 'exit 130' INT TERM

# With a process dies the test that began last and has not ended, and all after it are not run.
export failures='
    $1 == "===" && $2 == "RUN" && $3 !~ /\// { running = $3 }
    /^--- / { ended[$3] = 1 }
    /^--- FAIL: / { print package ": " $3; n++ }
    END { if (!n || running && !(running in ended)) print package ": " running " (the process ended there)" }'
: >"$work/failed"
round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    step "round $round of $rounds"
    export round
    # shellcheck disable=SC2016 # the inner shell expands it
    xargs -P 5 -n 2 sh -c '
        log=$work/$round-$1.log began=$(date +%s)
        if (cd "$2" && $bound "$work/$1.test" -test.v -test.timeout 10m) >"$log" 2>&1; then
            rm "$log"
        else
            awk -v package="${2#"$PWD"/}" "$failures" "$log" | tee -a "$work/failed"
            echo "    its output: $log"
        fi
        echo "$(($(date +%s) - began)) $1 $2" >>"$work/took"' package <"$work/packages"
    # The longest begin first. What reads sources, and samples that compile or do not, is the same
    # in each round.
    sort -rn "$work/took" | cut -d' ' -f2- | grep -v '/internal/archtest$\|/internal/apitest$' >"$work/packages"
    rm "$work/took"
done

step "result"
if [ -s "$work/failed" ]; then
    echo "Of $rounds rounds failed:"
    sort "$work/failed" | uniq -c | sort -rn
    exit 1
fi
rm -r "$work"
echo "No test failed in $rounds rounds."
