#!/bin/sh
# Formatting, vet, generated code and tests of every Go module of the project.
set -eu
. "$(dirname "$0")/lib.sh"

step "gofmt"
unformatted=$(find . \( -name node_modules -o -name '.?*' \) -prune -o -name '*.go' -exec gofmt -l {} +)
if [ -n "$unformatted" ]; then
    echo "These files are not formatted; run: gofmt -w ."
    echo "$unformatted"
    exit 1
fi

step "generated code"
.ci/proto.sh -check

race=-race
cc=$(go env CC)
if ! have "${cc%% *}" && ! install gcc libc6-dev; then
    race=
    skipped "the race detector: it needs a C compiler, and \`$cc\` is not here (the tests run without it)"
fi
[ -z "$race" ] || export CGO_ENABLED=1

for module in $(modules); do
    step "go vet and go test $race: $module"
    go -C "$module" vet ./...
    go -C "$module" test $race ./...
done
