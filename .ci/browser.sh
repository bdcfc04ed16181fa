#!/bin/sh
# Runs the tests that drive pages in a real Chromium. They need Node.js 20 or newer, npm and
# Chromium; Chromium is installed where the system's package manager can do it.
set -eu
. "$(dirname "$0")/lib.sh"

what="the browser tests"
step "browser tests"
if ! have node || ! have npm; then
    skipped "$what: they need Node.js and npm, which are not here"
    exit 0
fi
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
    skipped "$what: they need Node.js 20 or newer; this is $(node --version)"
    exit 0
fi

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
        skipped "$what: no Chromium here, and it could not be installed (that takes apt-get and root). Install one, or name it in CHROMIUM"
        exit 0
    fi
fi
export CHROMIUM
echo "with $("$CHROMIUM" --version) and Node.js $(node --version)"

for folder in examples/chat/browser examples/cluster/browser clients/js; do
    step "browser tests: $folder"
    (cd "$folder" && npm ci --no-audit --no-fund && npm test)
done
