#!/bin/bash
# Builds everything and runs all tests, then again under the sanitizers.
#
#   deploy/test.sh [--quick]     --quick leaves the sanitizers out
#
# Installs what is missing. With CI=true a test may only be skipped for a reason that the
# machine cannot help. The last line is the sum; the status is 0 only if nothing failed.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

# What kernel, privileges or hardware must offer, and a machine of CI may not.
allowed_skips=(
  'needs Linux [0-9]'
  '^root may' 'cannot become nobody' 'every port is open to everybody'
  'no IPv6 loopback' 'no /dev/shm' 'vm\.overcommit_memory = 1'
  '^no direct I/O in' 'registers no memory for writes'
  'TSan cannot judge'
  '^no disk that can be frozen'
)

quick=no
for option in "$@"; do
  case $option in
    --quick) quick=yes ;;
    *) echo "usage: $0 [--quick]" >&2; exit 2 ;;
  esac
done

deploy/install_dependencies.sh --lab
. deploy/bazel_env.sh
# They say why not; the tests that need them are skipped.
tests/kernel/fetch_kernel.py || true
tests/kernel/nic/build.sh >/dev/null || true

work=$(mktemp -d)
report=()

finish() {
  rm -rf "$work"
  # A server that outlives the run would keep a chroot or a container busy.
  if [[ ${CI-} == true ]]; then "${bazel[@]}" shutdown; fi
}
trap finish EXIT

check_format() {
  find . -name node_modules -prune -o '(' -name '*.cc' -o -name '*.h' ')' -print0 |
    xargs -0 clang-format-19 --dry-run -Werror
}

# Runs all tests in a configuration; test_report.py tells the results.
run_tests() {  # run_tests NAME FLAGS AND TARGETS...
  local name=$1 status=0
  "${bazel[@]}" test --config=ci --build_event_json_file="$work/$name.json" "${@:2}" ||
    status=$?
  if [[ -e $work/$name.json ]]; then report+=("$work/$name.json"); fi
  # 3: tests failed, which the report knows.
  if [[ $status -ne 0 && $status -ne 3 ]]; then
    report+=(--failed "bazel test ($name): status $status")
  fi
}

check_format || report+=(--failed 'clang-format (correct it by deploy/lint.sh --fix)')
run_tests plain //...  # Builds what is no test, too.
if [[ $quick == no ]]; then
  run_tests asan-ubsan --config=asan-ubsan --build_tests_only //...
  # What has threads of its own. gRPC, which the rest talks through, is not instrumented.
  run_tests tsan --config=tsan --build_tests_only //ingest/... //writer/... //tests/sim/... \
    //control/query/... //control/service/...
fi

if [[ ${CI-} == true ]]; then
  for reason in "${allowed_skips[@]}"; do report+=(--allow-skip "$reason"); done
fi
deploy/test_report.py "${report[@]}"
