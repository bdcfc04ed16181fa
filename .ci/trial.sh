#!/bin/sh
# Usage: .ci/trial.sh soak|chaos DURATION
# Runs the program of that name under test/.
set -eu
. "$(dirname "$0")/lib.sh"
name=${1:?soak or chaos}
if [ "$(uname -s)" != Linux ]; then
    skipped "test/$name: it reads /proc, which only Linux has"
    exit "$nothing_ran"
fi
exec go run "./test/$name" -for "${2:?how long}"
