#!/bin/sh
# Builds the lab's NIC for the kernel that the lab boots, and prints the directory that it is in:
# sluicenic.ko, and an ethtool that can split headers. Does nothing when they are there.
#
#     build.sh [RELEASE]     as `uname -r` says it
#
# Needs a C compiler, make, libelf and, the first time, Debian's mirror, for the kernel's headers.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

fail() {
  echo "nic/build.sh: no NIC for the lab: $*" >&2
  exit 1
}

# ---- Where things are ----

# "RELEASE CACHE", both as the lab sees them.
the_lab() {
  PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/.. python3 -c '
import kernels
kernel = kernels.cached_kernel()
print(kernel.release if kernel else kernels.PINNED, kernels.cache_directory().parent / "nic")'
}

answer=$(the_lab) || fail "the lab does not know its kernel"
release=${1:-${answer%% *}}
cache=${answer#* }
abi=${release%-cloud-amd64}  # 7.3.4+deb13
headers=$cache/headers-$release
hash=$(cd "$here" && cat build.sh Kbuild ./*.c ./*.h | sha256sum | cut -c 1-12)
built=$cache/$release-$hash

if [ -e "$built/sluicenic.ko" ]; then
  echo "$built"
  exit 0
fi
mkdir -p "$cache" || fail "cannot make $cache"
work=$(mktemp -d "$cache/building-XXXXXX")
trap 'rm -rf "$work"' EXIT

# ---- Debian's packages ----

# With lists and sources of its own: those of this machine stay as they are.
apt() {
  command=$1
  shift
  "$command" -q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/apt" \
    ${APT_AS_ROOT:+-o APT::Sandbox::User=root} "$@" >>"$work/log" 2>&1
}

set_up_apt() {
  [ ! -e "$work/sources.list" ] || return 0
  [ "$(id -u)" != 0 ] || APT_AS_ROOT=1
  mkdir -p "$work/lists/partial" "$work/apt/archives/partial"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' \
    'Created-By: Packages' 'Origin: Debian' 'Component: main' | head -n 1)
  [ -n "$mirror" ] || fail "apt knows no mirror of Debian: run apt-get update"
  for suite in trixie trixie-backports; do
    echo "deb $mirror $suite main"
  done >"$work/sources.list"
  apt apt-get update --error-on=any || fail "apt-get update: $(tail -n 1 "$work/log")"
}

# unpack DIRECTORY PACKAGE...
unpack() {
  set_up_apt
  directory=$1
  shift
  mkdir "$work/deb"
  (cd "$work/deb" && apt apt-get download "$@") || fail "apt-get: $(tail -n 1 "$work/log")"
  for package in "$work"/deb/*.deb; do
    dpkg -x "$package" "$directory"
  done
  rm -r "$work/deb"
}

# ---- The kernel's headers, and the programs of its that a build runs ----

# These are of trixie. Where the C library is too old for them they get one of their own.
mend_programs() {
  kbuild=$1/usr/lib/linux-kbuild-$abi
  for program in "$kbuild/tools/objtool/objtool.real-x86" "$kbuild/scripts/mod/modpost.real-lsb-64"; do
    ldd "$program" 2>&1 | grep -q 'not found' || continue
    [ -e "$1/libc" ] || unpack "$1/libc" libc6/trixie
    mv "$program" "$program.elf"
    cat >"$program" <<EOF
#!/bin/sh
libc=$headers/libc/usr/lib/x86_64-linux-gnu
exec "\$libc/ld-linux-x86-64.so.2" --library-path "\$libc:/usr/lib/x86_64-linux-gnu" "$headers${program#"$1"}.elf" "\$@"
EOF
    chmod +x "$program"
  done
}

fetch_headers() {
  unpack "$work/headers" "linux-headers-$release" "linux-headers-$abi-common" "linux-kbuild-$abi"
  # The package's makefile expects to be installed.
  sed -i "s|/usr/src/|$headers/usr/src/|" "$work/headers/usr/src/linux-headers-$release/Makefile"
  mend_programs "$work/headers"
  if ethtool --help 2>/dev/null | grep -q tcp-data-split; then
    cp "$(command -v ethtool)" "$work/headers/ethtool"
  else
    unpack "$work/ethtool" ethtool/trixie
    cp "$work/ethtool/usr/sbin/ethtool" "$work/headers/ethtool"
  fi
  # Another build may have been faster.
  mv -T "$work/headers" "$headers" 2>/dev/null || [ -e "$headers" ] || fail "cannot make $headers"
}

# ---- The module ----

compiler=$(command -v gcc-14 || command -v gcc) || fail "gcc is not installed"
command -v make >/dev/null || fail "make is not installed"
[ -e "$headers" ] || fetch_headers

# Not with BTF, which needs pahole and which nobody reads.
set -- CC="$compiler" CONFIG_DEBUG_INFO_BTF_MODULES=
# The kernel's configuration is for its own compiler, GCC 14. 12 and 13 lack one option of it.
if ! "$compiler" -fmin-function-alignment=16 -E -x c /dev/null >/dev/null 2>&1; then
  set -- "$@" CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=
fi
mkdir "$work/module"
cp "$here/Kbuild" "$here"/*.c "$here"/*.h "$work/module"
make -C "$headers/usr/src/linux-headers-$release" M="$work/module" W=1 "$@" >"$work/make.log" 2>&1 ||
  fail "$(grep -m 1 -E 'error|Error|not found' "$work/make.log" || tail -n 1 "$work/make.log")"
grep -E "^[a-z]+\.[ch]:.*warning:" "$work/make.log" >&2 || true

mkdir "$work/built"
strip --strip-debug -o "$work/built/sluicenic.ko" "$work/module/sluicenic.ko"
cp "$headers/ethtool" "$work/built/ethtool"
mv -T "$work/built" "$built" 2>/dev/null || [ -e "$built" ] || fail "cannot make $built"
echo "$built"
