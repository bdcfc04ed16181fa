#!/bin/sh
# Tests the JavaScript client with Node.js, and then, in a real Chromium, the client and the examples' pages. Node.js has
# to be 20 or newer, with npm; Chromium is installed where the system's package manager can do it.
set -eu
. "$(dirname "$0")/lib.sh"

what="the tests of clients/js and of the examples' pages"
step "JavaScript"
if ! have node || ! have npm; then
    skipped "$what: they need Node.js and npm, which are not here"
    exit 0
fi
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
    skipped "$what: they need Node.js 20 or newer; this is $(node --version)"
    exit 0
fi

step "clients/js with Node.js $(node --version)"
(cd clients/js && npm ci --no-audit --no-fund && npm run test:node)

# find_chromium sets CHROMIUM to a browser that starts, unless the caller has set it.
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
if ! find_chromium; then
    install chromium || true
    if ! find_chromium; then
        skipped "the tests in a browser, of clients/js and of the examples' pages: no Chromium here, and it could not be installed (that takes apt-get and root). Install one, or name it in CHROMIUM"
        exit 0
    fi
fi
export CHROMIUM

step "clients/js in $("$CHROMIUM" --version)"
(cd clients/js && npm run test:browser)
step "the examples' pages in it"
(cd examples/browser && npm ci --no-audit --no-fund && npm test)
