#!/usr/bin/env bash
# Builds the image `limrank:VERSION` (cpu) or `limrank:VERSION-gpu`, without a registry if need be.
#
#   image/build.sh [cpu|gpu]
#
# With a docker daemon: docker, on BASE_IMAGE (default: the Dockerfile's). Without: buildah in a chroot, as root, on
# BASE_IMAGE or else on a base that debootstrap makes. pip's settings decide where wheels come from.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${1:-cpu}"
python="${PYTHON:-python3}"
wheels="build/wheels-$target"
version="$("$python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')"
tag="limrank:$version"
if [ "$target" = gpu ]; then tag="$tag-gpu"; fi

need() {
  command -v "$1" >/dev/null && return
  echo "image/build.sh: $1 is not here; install the system packages buildah and debootstrap, or docker." >&2
  exit 2
}

if docker info >/dev/null 2>&1; then builder=docker; else builder=buildah; need buildah; fi

# Debian's buildah reads its storage driver from this flag alone. It chooses one itself; vfs works everywhere.
buildah() { command buildah ${STORAGE_DRIVER:+--storage-driver "$STORAGE_DRIVER"} "$@"; }

# Exactly the locked wheels, for the Python of the base image.
collect_wheels() {
  local pip="build/pip"
  [ -x "$pip/bin/pip" ] || "$python" -m venv "$pip"
  fetch() { "$pip/bin/pip" --disable-pip-version-check download --quiet --no-deps --only-binary=:all: --python-version 3.11 --dest "$wheels" "$@"; }
  rm -rf "$wheels"
  mkdir -p "$wheels"
  if [ "$target" = cpu ]; then
    fetch "${TORCH:-torch==2.13.0+cpu}"
    fetch --require-hashes -r requirements/service.lock
  else
    fetch --require-hashes -r requirements/gpu.lock
  fi
  fetch --require-hashes -r requirements/embedded.lock
  fetch --require-hashes -r requirements/image.lock
}

# A Debian base in buildah's own storage.
make_base() {
  need debootstrap
  local root container
  root="$(mktemp -d)"
  container="$(buildah from scratch)"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" >"$root.log" || { tail "$root.log" >&2; exit 1; }
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*
  buildah add --quiet "$container" "$root" / >/dev/null
  buildah commit --quiet --rm "$container" limrank-base:bookworm >/dev/null
  rm -rf "$root" "$root.log"
}

# The built image in its own root file system, read-only and without a network.
try_it() {
  local root
  container="$(buildah from "$tag")"
  trap 'buildah rm "$container" >/dev/null' EXIT
  root="$(buildah mount "$container")"
  buildah inspect --type image "$tag" >build/image.json
  echo "root file system: $(du -sm "$root" | cut -f1) MB"
  unshare --mount --net "$python" image/try_image.py "$root" build/image.json
  cp "$root/opt/limrank/sbom.cdx.json" "build/${tag/:/-}.cdx.json"
}

arguments=(
  --target "$target" --tag "$tag"
  --build-context "wheels=$wheels"
  --build-arg "VERSION=$version"
  --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)"
  --build-arg "CREATED=$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || echo 1970-01-01T00:00:00Z)"
)
if [ -n "${TORCH:-}" ]; then arguments+=(--build-arg "TORCH=$TORCH"); fi

started=$SECONDS
collect_wheels
echo "wheels: $(du -sh "$wheels" | cut -f1), $((SECONDS - started)) s"
started=$SECONDS
if [ "$builder" = docker ]; then
  if [ -n "${BASE_IMAGE:-}" ]; then arguments+=(--build-arg "BASE_IMAGE=$BASE_IMAGE"); fi
  docker buildx build --load "${arguments[@]}" .
  echo "$tag: $(docker image inspect --format '{{.Size}}' "$tag") bytes, $((SECONDS - started)) s"
else
  if [ -z "${BASE_IMAGE:-}" ]; then
    BASE_IMAGE=localhost/limrank-base:bookworm
    buildah inspect --type image "$BASE_IMAGE" >/dev/null 2>&1 || make_base
    echo "base: $((SECONDS - started)) s"
    started=$SECONDS
  fi
  # docker's format, as the OCI's knows no health check.
  buildah bud --isolation chroot --format docker --build-arg "BASE_IMAGE=$BASE_IMAGE" "${arguments[@]}" .
  echo "$tag: $((SECONDS - started)) s"
  if [ "$target" = cpu ]; then try_it; fi
fi
