# Sourced by the scripts that build: sets `bazel`, the command and its startup options.
# BAZEL="bazel --output_base=..." chooses others.

# Bazel keeps its files in the home directory, which a chroot or a service may lack.
if [[ ! -w ${HOME-} ]]; then
  export HOME=${TMPDIR:-/tmp}/sluice-build-home
  mkdir -p "$HOME"
fi
export USER=${USER:-$(id -un)}
read -ra bazel <<<"${BAZEL:-bazel}"
