# Shared by the scripts beside it; sourced, not run. Leaves the shell in the project's root.
cd "$(dirname "$0")/.."

# step announces what comes next.
step() { printf '\n==> %s\n' "$*"; }

# skipped says what does not run and why. test.sh repeats these lines at its end.
skipped() {
    printf 'SKIPPED: %s\n' "$*"
    if [ -n "${RESULTS:-}" ]; then printf 'skipped        %s\n' "$*" >>"$RESULTS"; fi
}

# A part that skips all that it has to do ends with this.
nothing_ran=77

have() { command -v "$1" >/dev/null 2>&1; }

# install PACKAGE... takes packages from the system's package manager; false where it cannot.
install() {
    have apt-get && [ "$(id -u)" = 0 ] || return 1
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# modules lists the folder of every Go module of the project, the root first.
modules() {
    find . \( -name node_modules -o -name testdata -o -name '.?*' \) -prune -o -name go.mod -print |
        sed 's|/go\.mod$||' | sort
}
