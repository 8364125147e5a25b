#!/bin/bash
# Checks formatting and runs clang-tidy; --fix corrects the formatting first.
#
# Where there is npm, BUILD files are checked too, by the buildifier of package.json.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/bazel_env.sh

cpp_sources() { git ls-files -z -co --exclude-standard -- '*.cc' '*.h'; }
bazel_sources() {
  git ls-files -z -co --exclude-standard -- '*.bzl' '*.bazel' '*.BUILD' WORKSPACE
}

buildifier() {
  if ! command -v npx >/dev/null; then
    echo "$0: no npx: BUILD files are not checked" >&2
    return
  fi
  [[ -d node_modules/@bazel/buildifier ]] || npm ci --ignore-scripts --no-audit --no-fund
  bazel_sources | xargs -0 npx --no-install buildifier "$@"
}

if [[ ${1-} == --fix ]]; then
  cpp_sources | xargs -0 clang-format-19 -i
  buildifier
else
  cpp_sources | xargs -0 clang-format-19 --dry-run -Werror
  # Bazel 4 has its own sh_test.
  buildifier -mode=check -lint=warn -warnings=-native-sh-test
fi

"${bazel[@]}" build --config=ci //...  # clang-tidy reads the generated headers.
deploy/compile_commands.py --config=ci
run-clang-tidy-19 -quiet -p . -j "$(nproc)"
