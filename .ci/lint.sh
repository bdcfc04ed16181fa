#!/bin/sh
# Runs the linter over every Go module. It is built into bin/ once, at this version (which itself
# needs Go 1.26 to be built; with an older one, the go command fetches that, if it may):
set -eu
. "$(dirname "$0")/lib.sh"
version=v2.15.0

linter=$PWD/bin/golangci-lint-$version
if [ ! -x "$linter" ]; then
    step "building golangci-lint $version (a few minutes, once)"
    GOBIN="$PWD/bin" go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version"
    mv bin/golangci-lint "$linter"
fi

status=0
for module in $(modules); do
    step "lint: $module"
    (cd "$module" && "$linter" run ./...) || status=1
done
exit "$status"
