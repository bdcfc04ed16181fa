#!/bin/sh
# Usage: .ci/go.sh MODULE [FOLDER...]
# Vets and tests the Go module in that folder, or only some of its folders, with the race detector where there is a C
# compiler.
set -eu
. "$(dirname "$0")/lib.sh"
module=${1:?the folder of a Go module}
shift

race=-race
cc=$(go env CC)
if ! have "${cc%% *}" && ! install gcc libc6-dev; then
    race=
    skipped "the race detector in $module: it needs a C compiler, and \`$cc\` is not here (the tests run without it)"
fi
[ -z "$race" ] || export CGO_ENABLED=1
if [ "$module" = ./examples/cluster ] && ! have nginx; then
    skipped "examples/cluster behind nginx: it is not here (Debian: apt-get install nginx libnginx-mod-stream)"
fi
if [ "$module" = ./examples/im ]; then
    have nginx || skipped "examples/im behind nginx: it is not here (Debian: apt-get install nginx)"
    have initdb || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 ||
        skipped "examples/im on PostgreSQL: it is not here (Debian: apt-get install postgresql)"
fi
if [ "$module" = ./deploy ]; then
    have nginx || skipped "deploy/ behind nginx: it is not here (Debian: apt-get install nginx libnginx-mod-stream)"
    have haproxy || skipped "deploy/ behind HAProxy: it is not here (Debian: apt-get install haproxy)"
    have systemd-analyze || skipped "the unit in deploy/: systemd-analyze is not here (Debian: apt-get install systemd)"
fi
if [ "$module" = ./contrib/prometheus ]; then
    have prometheus || install prometheus ||
        skipped "contrib/prometheus with a real Prometheus: it is not here (Debian: apt-get install prometheus)"
fi
if [ "$module" = . ] && ! have node; then
    skipped "the JavaScript samples of the documents: Node.js is not here"
fi

[ $# -gt 0 ] || set -- ./...
status=0
go -C "$module" vet "$@" || status=1
go -C "$module" test $race "$@" || status=1
exit "$status"
