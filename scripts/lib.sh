# Shared by the scripts beside it, sourced and not run: where the repository is, and how a preset is
# configured and built. Two compilers at a time, niced: CAF and Beast take over 1 GB each.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=${TROUPE_BUILD_JOBS:-2}

say() { echo "==> $*" >&2; }

# fail MESSAGE [STATUS]
fail() {
  echo "${0##*/}: $1" >&2
  exit "${2:-1}"
}

# configure_preset NAME [cmake arguments...]
# Skipped when the tree is there: ninja runs cmake again by itself when a CMake file has changed.
configure_preset() {
  local preset=$1
  shift
  if [[ ! -f $root/build/$preset/build.ninja || $# -gt 0 ]]; then
    say "configuring $preset"
    (cd "$root" && cmake --preset "$preset" "$@" >/dev/null)
  fi
}

# build_preset NAME [targets...]
build_preset() {
  local preset=$1
  shift
  say "building $preset${*:+: $*}"
  nice -n 10 ninja -C "$root/build/$preset" -j "$jobs" "$@" >&2
}
