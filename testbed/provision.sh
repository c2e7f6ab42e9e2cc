#!/usr/bin/env bash
# Bring a Debian 12+ or Ubuntu 24.04+ host to the state in which the testbed runs: Debian packages and
# the virtual environment .venv with the versions of requirements.lock. Safe to repeat, at once if done.
#
#   testbed/provision.sh              packages and .venv
#   testbed/provision.sh --prepared   the tier image and the embedded models as well
#   testbed/provision.sh --tests      what only the tests need as well
#
# pip's own settings (index, find-links, proxy, certificates) apply. TORCH_INDEX_URL names the index that
# holds CPU builds of torch, where pip's configured one has only builds for CUDA. Where no such index is at hand,
# TORCH_CUDA=yes takes a build for CUDA with its libraries (4 GB more).
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/.venv
python=/usr/bin/python3 # not the PATH's: Debian's packages of Python modules are for this one
log=$(mktemp "${TMPDIR:-/tmp}/provision.XXXXXX.log")
job=
policy=/usr/sbin/policy-rc.d
policy_mark="# put here by testbed/provision.sh for the time of one installation"

# Command or file that shows the package to be there, then its name. Docker from another source counts.
required=(
    dockerd:docker.io mnexec:mininet tcpdump:tcpdump tshark:tshark debootstrap:debootstrap
    apparmor_parser:apparmor iperf3:iperf3 ethtool:ethtool ip:iproute2 ping:iputils-ping
    iptables:iptables ps:procps zstd:zstd xz:xz-utils shellcheck:shellcheck make:make
    /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
    /etc/ssl/certs/ca-certificates.crt:ca-certificates /usr/bin/python3:python3
)
# For tests alone; the first is not on every architecture, and its tests are skipped without it.
optional=()
for_tests=(linux.uml:user-mode-linux modprobe:kmod chromium:chromium)

fail() {
    echo "provision: $*" >&2
    exit 1
}

cleanup() {
    if [ -n "$job" ]; then kill "$job" 2>/dev/null || true; fi
    if grep -qsF "$policy_mark" "$policy"; then "${as_root[@]}" rm -f "$policy"; fi
    rm -f "$log"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

case $root in
*:* | *$'\n'*)
    fail "Python makes no environment in $root, for the colon or line break in its name; move the checkout"
    ;;
esac
if [ "$(id -u)" = 0 ]; then as_root=(); else as_root=(sudo); fi
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8 apt-get -y -q
    -o Acquire::Retries=3 -o Acquire::http::Timeout=60 -o Acquire::https::Timeout=60
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold)
# Wheels of gigabytes do not fit into a /tmp in memory, as Debian 13 has one.
pip=(env TMPDIR="$venv/tmp" "$venv/bin/python" -m pip --disable-pip-version-check --no-input --retries 5)

# watched WHAT SECONDS COMMAND…: run it with its output in the log, and show that it lives.
watched() {
    local what=$1 limit=$2 started=$SECONDS
    shift 2
    echo "==> $what"
    timeout "$limit" "$@" >"$log" 2>&1 </dev/null 9<&- & # a service that it starts must not hold our lock
    job=$!
    while kill -0 "$job" 2>/dev/null; do
        sleep 0.5
        show $((SECONDS - started))
    done
    local status=0
    wait "$job" || status=$?
    job=
    if [ -t 1 ]; then printf '\r\033[K'; fi
    if [ "$status" != 0 ]; then
        tail -n 15 "$log" >&2
        if [ "$status" = 124 ]; then echo "(stopped: not done after $limit s)" >&2; fi
        return 1
    fi
    echo "    done in $((SECONDS - started)) s"
}

shown=-1
show() {
    local last
    if [ -t 1 ]; then
        last=$(tail -n 1 "$log" | tr -d '\r' | cut -c -90)
        printf '\r\033[K    %4d s  %s' "$1" "$last"
    elif [ $(($1 % 15)) = 0 ] && [ "$1" != 0 ] && [ "$1" != "$shown" ]; then
        shown=$1
        echo "    $1 s: $(tail -n 1 "$log" | tr -d '\r' | cut -c -120)"
    fi
}

present() { # COMMAND or /FILE
    case $1 in
    /*) [ -e "$1" ] ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    esac
}

missing_of() {
    local entry
    for entry in "$@"; do
        present "${entry%%:*}" || echo "${entry#*:}"
    done
}

installable() { # all of PACKAGE…, by the lists that are here
    local name
    for name in "$@"; do
        # Not grep -q: it would end apt-cache by SIGPIPE, which pipefail takes for "no".
        LC_ALL=C apt-cache policy "$name" 2>/dev/null | grep '^  Candidate: [^(]' >/dev/null || return 1
    done
}

# Without systemd a package's script would start dockerd with its default firewall rules; the testbed starts
# what it needs itself.
hold_services() {
    if [ -d /run/systemd/system ] || [ -e "$policy" ]; then return; fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
}

install_packages() {
    local wanted extra
    mapfile -t wanted < <(missing_of "${required[@]}")
    "$python" -c 'import ensurepip, venv' 2>/dev/null || wanted+=(python3-venv)
    mapfile -t extra < <(missing_of "${optional[@]}")
    if [ ${#wanted[@]} = 0 ] && [ ${#extra[@]} = 0 ]; then return; fi
    present apt-get || fail "this host has no apt-get and lacks ${wanted[*]}; use Debian 12, Ubuntu 24.04 or newer"
    if [ "$(id -u)" != 0 ]; then
        if ! present sudo || ! sudo -v; then fail "${wanted[*]} must be installed; run this as root or with sudo"; fi
    fi
    if ! installable "${wanted[@]}" "${extra[@]}"; then
        watched "package lists" 600 "${apt[@]}" update ||
            fail "apt-get update failed; check the host's package sources and network and try again"
    fi
    local name
    for name in "${extra[@]}"; do
        if installable "$name"; then
            wanted+=("$name")
        else
            echo "    $name is not to be had here; what needs it will say so"
        fi
    done
    if [ ${#wanted[@]} = 0 ]; then return; fi
    hold_services
    if [ -n "$(dpkg --audit)" ]; then "${as_root[@]}" dpkg --configure -a >"$log" 2>&1 </dev/null || true; fi
    watched "Debian packages: ${wanted[*]}" 5400 "${apt[@]}" install --no-install-recommends "${wanted[@]}" || {
        # Lists that are some weeks old name versions that the mirror has no more.
        watched "package lists" 600 "${apt[@]}" update &&
            watched "Debian packages, once more" 5400 \
                "${apt[@]}" install --no-install-recommends "${wanted[@]}"
    } || fail "apt-get could not install ${wanted[*]} (its last lines are above)"
}

need_room() { # KB
    local free_kb
    free_kb=$(df -Pk "$root" | awk 'NR == 2 {print $4}')
    [ "$free_kb" -ge "$1" ] || fail "$root has $((free_kb / 1000)) MB free, .venv needs $(($1 / 1000)) MB; make room"
}

stamp_of() { # of FILE… and the interpreter
    { "$python" -VV; echo "$root"; cat "$@"; } | sha256sum | cut -c -64
}

stamped() { # NAME STAMP
    [ "$(cat "$venv/.stamp-$1" 2>/dev/null)" = "$2" ]
}

install_environment() {
    local version locked project
    version=$("$python" -c 'import sys; print("%d%02d" % sys.version_info[:2])')
    [ "$version" -ge 311 ] || fail "$python is older than 3.11; use Debian 12, Ubuntu 24.04 or newer"
    locked=$(stamp_of "$root/requirements.lock")
    project=$(stamp_of "$root/requirements.lock" "$root/pyproject.toml")
    if stamped locked "$locked" && stamped project "$project" && "$venv/bin/python" -c '' 2>/dev/null; then return; fi

    if ! stamped locked "$locked" || ! "$venv/bin/python" -c '' 2>/dev/null; then
        need_room 3000000
        if [ "$("$venv/bin/python" -VV 2>/dev/null)" != "$("$python" -VV)" ]; then
            watched "virtual environment" 300 "$python" -m venv --clear "$venv" || fail "cannot make $venv"
        fi
        mkdir -p "$venv/tmp"
        install_torch
        # The lock names every package, so there is nothing to resolve; compiling takes all CPUs, pip's one.
        watched "Python packages of requirements.lock" 3600 \
            "${pip[@]}" install --no-deps --no-compile --require-hashes -r "$root/requirements.lock" ||
            fail "pip could not install requirements.lock; check pip's index and network settings and try again"
        check_torch
        watched "compiling them" 900 "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" || true # examples that do not
        echo "$locked" >"$venv/.stamp-locked"
    fi
    mkdir -p "$venv/tmp"
    watched "the testbed itself" 300 \
        "${pip[@]}" install --no-deps --no-build-isolation -e "$root" ||
        fail "pip could not install the testbed from $root"
    rm -rf "$venv/tmp"
    echo "$project" >"$venv/.stamp-project"
}

install_test_packages() { # what --tests adds to the environment
    local file=$root/tests/requirements.lock stamp
    stamp=$(stamp_of "$root/requirements.lock" "$file")
    if stamped tests "$stamp"; then return; fi
    mkdir -p "$venv/tmp"
    watched "Python packages of tests/requirements.lock" 1200 \
        "${pip[@]}" install --no-deps --no-compile --require-hashes -r "$file" ||
        fail "pip could not install tests/requirements.lock; check pip's index and network settings and try again"
    rm -rf "$venv/tmp"
    echo "$stamp" >"$venv/.stamp-tests"
}

# On its own and first, so that the index named for it serves nothing else. Which build is taken is for pip's settings
# to say; one that requirements.lock has no hash of is taken only from such an index, or if it is a variant ("+cpu"):
# that is said, and runs record from where.
install_torch() {
    local pin known wheel source=() fetched=$venv/tmp/torch from=${TORCH_INDEX_URL:-pip\'s own settings}
    known=$(awk '/^torch==/, !/\\$/' "$root/requirements.lock")
    pin=$(grep -oE '^torch==[^ ]+' <<<"$known")
    [ -z "${TORCH_INDEX_URL:-}" ] || source=(--index-url "$TORCH_INDEX_URL")
    rm -rf "$fetched" "$venv/torch-origin"
    watched "$pin" 3600 "${pip[@]}" download --no-deps --only-binary=:all: --dest "$fetched" "${source[@]}" "$pin" ||
        fail "pip could not fetch $pin; check TORCH_INDEX_URL, or pip's index and network settings, and try again"
    wheel=$(echo "$fetched"/torch-*.whl)
    if ! grep -q "$(sha256sum "$wheel" | cut -d ' ' -f 1)" <<<"$known"; then
        [ -n "${TORCH_INDEX_URL:-}" ] || [[ $wheel == *+* ]] ||
            fail "${wheel##*/} is none of the files that requirements.lock knows; check pip's index and try again"
        echo "    ${wheel##*/} is not checked: requirements.lock has no hash of it"
        sed -E 's|//[^/]*@|//|' <<<"$from" >"$venv/torch-origin"
    fi
    watched "${wheel##*/}" 1200 "${pip[@]}" install --no-deps --no-compile "$wheel" ||
        fail "pip could not install ${wheel##*/}; make room or mend what it says, and try again"
    if [ -n "${TORCH_CUDA:-}" ]; then need_room 8000000; else torch_has_its_libraries || fail_for_cuda; fi
}

torch_has_its_libraries() { # asked before its Python packages are there, so that nothing is fetched in vain
    "$venv/bin/python" -c 'import ctypes, importlib.util
[directory] = importlib.util.find_spec("torch").submodule_search_locations
ctypes.CDLL(directory + "/lib/libtorch_global_deps.so")' 2>/dev/null
}

fail_for_cuda() {
    fail "this build of torch cannot be loaded here; most likely it is one for CUDA: set TORCH_INDEX_URL to PyTorch's" \
        "index of CPU builds, or TORCH_CUDA=yes for CUDA's libraries (4 GB more), and try again"
}

# A build for CUDA has its libraries in packages that nothing else here needs, and that the lock has no hashes of.
check_torch() {
    local pins=$venv/tmp/pins
    "$venv/bin/python" -c 'import torch' 2>/dev/null && return
    [ -n "${TORCH_CUDA:-}" ] || fail_for_cuda
    grep -oE '^[^ #]+==[^ ]+' "$root/requirements.lock" >"$pins"
    echo "    CUDA's libraries are not checked: requirements.lock has no hashes of them"
    watched "CUDA's libraries" 3600 \
        "${pip[@]}" install --no-compile --only-binary=:all: -c "$pins" "$(grep '^torch==' "$pins")" ||
        fail "pip could not install CUDA's libraries; make room or mend what it says, and try again"
    "$venv/bin/python" -c 'import torch' 2>"$log" || fail "torch cannot be loaded: $(tail -n 1 "$log")"
}

prepared=no tests=no
for option in "$@"; do
    case $option in
    --prepared) prepared=yes ;;
    --tests)
        tests=yes
        optional+=("${for_tests[@]}")
        ;;
    *) fail "$option is no option; there are --prepared and --tests" ;;
    esac
done
exec 9<"$root"
flock -n 9 || {
    echo "==> waiting for another provision.sh in $root"
    flock -w 3600 9 || fail "another provision.sh has been at work in $root for an hour; end it and try again"
}
install_packages
install_environment
if [ "$tests" = yes ]; then install_test_packages; fi
exec 9<&-
if [ "$prepared" = yes ]; then
    began=$SECONDS
    "$venv/bin/python" -m testbed.host.image
    echo "    done in $((SECONDS - began)) s"
    began=$SECONDS
    "$venv/bin/testbed" models prepare
    echo "    done in $((SECONDS - began)) s"
fi
