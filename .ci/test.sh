#!/bin/sh
# Runs every test there is. It needs Go and a shell, sets up the rest, goes on when a part fails, and says at the end how
# each part ended and what could not run.
set -u
. "$(dirname "$0")/lib.sh"

if ! have go; then
    echo "The tests need Go 1.25 or newer, which is not here: see https://go.dev/doc/install" >&2
    exit 1
fi

RESULTS=$(mktemp)
export RESULTS
trap 'rm -f "$RESULTS"' EXIT
trap 'exit 130' INT TERM
failed=0

# part NAME COMMAND... runs one part of the tests and notes how it ended.
part() {
    name=$1
    shift
    step "$name"
    began=$(date +%s)
    "$@" </dev/null
    case $? in
    0) result=ok ;;
    "$nothing_ran") return 0 ;; # and it has said why
    *) result=FAILED failed=$((failed + 1)) ;;
    esac
    printf '%-7s %4d s  %s\n' "$result" $(($(date +%s) - began)) "$name" >>"$RESULTS"
}

echo "The first run compiles everything, gRPC too, with the race detector: that takes some minutes, the first of them silent."
part "gofmt" .ci/format.sh
part "generated code" .ci/proto.sh -check
part "generated types" .ci/types.sh -check
for module in $(modules); do
    part "Go module $module" .ci/go.sh "$module"
done
export NANO_TEST_TRANSPORT=loop
part "connections of an event loop" .ci/go.sh . ./internal/gate ./test/node ./test/cluster
export NANO_TEST_TRANSPORT=portable
part "sockets with goroutines" .ci/go.sh . ./internal/gate ./test/node ./test/process
unset NANO_TEST_TRANSPORT
part "fuzz targets" .ci/fuzz.sh "${FUZZ:-20000x}"
part "a crowd of clients, hostile ones among them" .ci/trial.sh soak "${FOR:-1m}"
part "a cluster whose processes are killed, stopped and cut off" .ci/trial.sh chaos "${FOR:-1m}"
part "clients/js with Node.js" .ci/js.sh node
part "clients/js in a browser" .ci/js.sh browser
part "the examples' pages in a browser" .ci/js.sh pages

step "result"
cat "$RESULTS"
if [ "$failed" -gt 0 ]; then
    echo "$failed failed. Their output is above, under ==>."
    exit 1
fi
if grep -q '^skipped' "$RESULTS"; then echo "Passed, but for what was skipped."; else echo "Everything passed."; fi
