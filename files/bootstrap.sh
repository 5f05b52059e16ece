#!/usr/bin/env bash
# Install what a verb of the Makefile needs on a Debian 12 or 13 machine: packages, .venv, npm packages.
#
#   files/bootstrap.sh [root] [python] [player] [lab] [vm] [tests] [bench] [browser]
#
# `root` installs nothing: it sees that the verb can become root, before anything is done.
# Runs as root or through sudo, changes nothing that is there already, and takes a moment when nothing is to do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
    if [ -t 2 ]; then
        printf '\033[2m[setup]\033[0m %s\n' "$*" >&2
    else
        printf '[setup] %s\n' "$*" >&2
    fi
}
stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        stop "packages have to be installed, which needs root, and there is no sudo; as root: $*"
    fi
}

# Run a command whose output only matters when it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        rm -f "$log"
        stop "failed: $*"
    fi
    rm -f "$log"
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# The first of the names that this release of Debian carries.
first_available() {
    local package
    for package in "$@"; do
        if apt-cache show "$package" >/dev/null 2>&1; then
            echo "$package"
            return
        fi
    done
    echo "$1"
}

packages=()
want() { packages+=("$@"); }

install_packages() {
    local package missing=() daemons=()
    for package in "${packages[@]}"; do
        installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || stop "this is not Debian (no apt-get); install yourself: ${missing[*]}"
    say "packages (a minute or more): ${missing[*]}"
    quietly as_root apt-get update -qq
    quietly as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}"
    # The tests start their own; a package must not leave a server running on this machine.
    for package in "${missing[@]}"; do
        case $package in nginx | valkey-server | redis-server) daemons+=("$package") ;; esac
    done
    if [ ${#daemons[@]} -gt 0 ] && [ -d /run/systemd/system ]; then
        as_root systemctl disable --now --quiet "${daemons[@]}"
    fi
}

# For hls.js, which the hosts get from here. Node.js from elsewhere brings its own npm, and Debian's would push it out.
want_npm() { command -v npm >/dev/null || want nodejs npm; }

# Debian's own Python: what a fresh machine has, and what the lock files are tested with.
python=/usr/bin/python3

make_venv() {
    local wanted stamp=.venv/.made-from
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        stop "$("$python" --version) is too old; Python 3.11 or newer is needed (Debian 12 or 13)"
    wanted=$({ "$python" --version; pwd; cat files/locks/controller.txt pyproject.toml; } | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    say "Python packages into .venv (one to three minutes)"
    "$python" -m venv .venv
    quietly .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --require-hashes --only-binary=:all: -r files/locks/controller.txt
    quietly .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --no-deps --no-build-isolation --editable .
    echo "$wanted" >"$stamp"
}

install_browser_packages() {
    local folder=tests/e2e/browser wanted stamp=tests/e2e/browser/node_modules/.made-from
    wanted=$(cat "$folder/package.json" "$folder/package-lock.json" | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    say "npm packages for the browser tests"
    # the browser is Debian's chromium
    (cd "$folder" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 quietly npm ci --no-audit --no-fund --loglevel=error)
    echo "$wanted" >"$stamp"
}

[ $# -gt 0 ] || set -- python
for part in "$@"; do
    case $part in
        root)
            [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
                stop "this needs root (hosts of the lab are containers), and there is no sudo; run it as root"
            ;;
        python) want python3-venv git openssh-client ;;
        lab) want mmdebstrap systemd-container nftables iproute2 openssh-client ffmpeg fonts-dejavu-core curl ;;
        vm)
            want qemu-system-x86 e2fsprogs mmdebstrap nftables iproute2 openssh-client
            # without root the image is made in a user namespace
            [ "$(id -u)" -eq 0 ] || want uidmap
            ;;
        tests) want ffmpeg nginx libnginx-mod-rtmp curl patch "$(first_available valkey-server redis-server)" ;;
        bench) want wrk ;;
        player) want_npm ;;
        browser)
            want chromium
            want_npm
            ;;
        *) stop "unknown part '$part'; known: root python player lab vm tests bench browser" ;;
    esac
done
install_packages
for part in "$@"; do
    case $part in
        python) make_venv ;;
        browser) install_browser_packages ;;
    esac
done
