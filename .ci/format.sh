#!/bin/sh
# Fails, with a list, if a Go file is not formatted.
set -eu
. "$(dirname "$0")/lib.sh"

unformatted=$(find . \( -name node_modules -o -name '.?*' \) -prune -o -name '*.go' -exec gofmt -l {} +)
if [ -n "$unformatted" ]; then
    echo "These files are not formatted; run: gofmt -w ."
    echo "$unformatted"
    exit 1
fi
