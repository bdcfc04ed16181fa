#!/bin/sh
# Usage: .ci/trial.sh soak|chaos DURATION, or .ci/trial.sh gates
# Runs the program of that name under test/; gates is a play of test/chaos.
set -eu
. "$(dirname "$0")/lib.sh"
name=${1:?soak, chaos or gates}
if [ "$(uname -s)" != Linux ]; then
    skipped "test/$name: it reads /proc, which only Linux has"
    exit "$nothing_ran"
fi
if [ "$name" = gates ]; then exec go run ./test/chaos -play gates; fi
exec go run "./test/$name" -for "${2:?how long}"
