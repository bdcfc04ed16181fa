#!/bin/sh
# Usage: .ci/js.sh node|browser|pages
# Tests the JavaScript client with Node.js, the client in a real Chromium, or the examples' pages in it. Node.js has to be
# 20 or newer, with npm; Chromium is installed where the system's package manager can do it.
set -eu
. "$(dirname "$0")/lib.sh"
get_node="get it from https://nodejs.org/en/download (Debian 12 has only 18), then run this again"

# omit WHAT WHY says what does not run, and ends the script.
omit() {
    skipped "$1: $2"
    exit "$nothing_ran"
}

# need_node WHAT ends the script unless there is a Node.js that can run WHAT.
need_node() {
    if ! have node || ! have npm; then
        omit "$1" "Node.js 20 or newer, with npm, is not here: $get_node"
    elif [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
        omit "$1" "Node.js is $(node --version), 20 or newer is needed: $get_node"
    fi
}

# need_chromium WHAT sets CHROMIUM to a browser that starts, unless the caller has set it, or ends the script.
need_chromium() {
    if ! find_chromium; then
        install chromium || true
        find_chromium || omit "$1" "no Chromium is here, and only root can have it installed, by apt-get: install one, or name it in CHROMIUM"
    fi
    export CHROMIUM
    "$CHROMIUM" --version
}

find_chromium() {
    [ -z "${CHROMIUM:-}" ] || return 0
    for name in chromium chromium-browser google-chrome; do
        if have "$name" && "$name" --version >/dev/null 2>&1; then
            CHROMIUM=$(command -v "$name")
            return 0
        fi
    done
    return 1
}

case ${1:?node, browser or pages} in
node)
    need_node "clients/js with Node.js"
    cd clients/js
    npm ci --no-audit --no-fund
    npm run test:node
    ;;
browser)
    what="clients/js in a browser"
    need_node "$what"
    need_chromium "$what"
    cd clients/js
    npm ci --no-audit --no-fund
    npm run build
    npm run test:browser
    ;;
pages)
    what="the examples' pages in a browser"
    need_node "$what"
    need_chromium "$what"
    cd examples/browser
    npm ci --no-audit --no-fund
    npm test
    ;;
esac
