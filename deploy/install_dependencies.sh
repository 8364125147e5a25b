#!/bin/bash
# Installs what building, testing and running Sluice needs on Debian 12.
#
#   deploy/install_dependencies.sh [--lab]     --lab also what tests/kernel needs
#
# Quick and offline when nothing is missing. Everything is a Debian package from
# the mirror that this machine is set up to use. Run it as root, or with sudo set up.
set -euo pipefail

packages=(
  # The build.
  bazel-bootstrap g++ pkg-config git ca-certificates
  libabsl-dev libbenchmark-dev libcli11-dev libgmock-dev libgrpc++-dev libgtest-dev
  libisal-dev libmnl-dev libprotobuf-dev libspdlog-dev libsqlite3-dev libssl-dev
  libsystemd-dev protobuf-compiler protobuf-compiler-grpc
  # Sanitizers, fuzzers, formatting and static checks.
  clang-19 clang-format-19 clang-tidy-19 libclang-rt-19-dev lld-19 llvm-19
  # What tests and benchmarks compare with and talk to.
  fio iproute2 netcat-openbsd python3 python3-grpcio python3-protobuf socat sqlite3 tmux xfsprogs
)

# What starts a virtual machine, and what goes into it.
lab_packages=(busybox-static dmsetup e2fsprogs kmod libelf1 make qemu-system-x86 strace)

case "${1-}" in
  '') ;;
  --lab) packages+=("${lab_packages[@]}") ;;
  *) echo "usage: $0 [--lab]" >&2; exit 2 ;;
esac

# Zero-copy receive needs liburing 2.15; its headers need newer kernel headers.
# These packages of forky depend on nothing else there, least of all its C library.
forky_packages=(liburing2 liburing-dev linux-libc-dev)
liburing_version=2.15

installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
liburing_is_new_enough() {
  command -v pkg-config >/dev/null && pkg-config --atleast-version="$liburing_version" liburing
}

missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]] && liburing_is_new_enough; then exit 0; fi

as_root=()
if [[ $EUID -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "$0: packages are missing (${missing[*]} ${forky_packages[*]}): run this once as root" >&2
    exit 1
  fi
  as_root=(sudo)
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q "$@"; }

apt update
if [[ ${#missing[@]} -gt 0 ]]; then
  apt install -y --no-install-recommends "${missing[@]}"
fi

if ! liburing_is_new_enough; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  chmod 755 "$work"
  mkdir -p "$work"/{lists,cache}
  mirror=$(apt-get indextargets --format '$(REPO_URI)' \
    'Created-By: Packages' 'Origin: Debian' 'Component: main' | head -n 1)
  echo "deb $mirror forky main" >"$work/sources.list"
  forky=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
         -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache"
         -o APT::Sandbox::User=root)
  apt "${forky[@]}" update
  (cd "$work" && apt "${forky[@]}" download "${forky_packages[@]}")
  apt install -y "$work"/*.deb
  liburing_is_new_enough || {
    echo "$0: liburing $liburing_version is still missing: forky on $mirror has an older one" >&2
    exit 1
  }
fi
