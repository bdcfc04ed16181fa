#!/bin/sh
# Generates the Go code of the .proto files; with -check only tells whether it is up to date.
set -eu
. "$(dirname "$0")/lib.sh"

go -C internal/tools run ./protogen -root ../.. "$@" cluster/clusterpb/cluster.proto
