#!/bin/sh
# Generates the types of the examples' routes, from what the examples say of themselves; with -check only tells whether
# they are up to date.
set -eu
. "$(dirname "$0")/lib.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/nano-types-XXXXXX")
trap 'rm -r "$work"' EXIT
go build -o "$work/nano-cli" ./clients/nano-cli

# generate EXAMPLE NAME FILE writes the types of an example, as an interface of that name.
generate() {
    go run "./examples/$1" -describe >"$work/description.json"
    "$work/nano-cli" gen ts --name "$2" -o "$work/routes.d.ts" "$work/description.json"
    if [ "${check:-}" = -check ]; then
        cmp "$work/routes.d.ts" "$3" || { echo "$3 is not what the example says; run: .ci/types.sh" >&2; exit 1; }
    else
        cp "$work/routes.d.ts" "$3"
        echo "wrote $3"
    fi
}

check=${1:-}
generate chat Chat examples/chat/routes.d.ts
