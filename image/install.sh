#!/bin/sh
# Runs in the build of the image: prepares the tools, fills /opt/limrank from lock files, finishes it with the package.
#
#   install.sh tools           what builds; not in the image
#   install.sh TORCH LOCK...   an environment without pip; TORCH goes first, as its builds differ ("" if a lock has it)
#   install.sh finish          the package, the embedded models prepared, compiled modules, the list of what is inside
set -eu

target=/opt/limrank
tools=/opt/tools/bin

# Where wheels were handed in, no index is asked.
if ls /wheels/*.whl >/dev/null 2>&1; then
  PIP_NO_INDEX=1
  export PIP_NO_INDEX
fi

install() {
  "$tools/pip" --python "$target/bin/python" install --quiet --no-cache-dir --no-compile --no-deps --find-links /wheels "$@"
}

prepare_tools() {
  python3 -m venv /opt/tools
  "$tools/pip" install --quiet --no-cache-dir --no-deps --find-links /wheels --require-hashes -r requirements/image.lock
}

fill() {
  python3 -m venv --without-pip "$target"
  torch="$1"
  shift
  if [ -n "$torch" ]; then
    install "$torch"
    # Tests and headers, 145 MB; without a compiler nothing ever reads them.
    rm -rf "$target"/lib/python3*/site-packages/torch/test "$target"/lib/python3*/site-packages/torch/include
  fi
  for name in "$@"; do install --require-hashes -r "requirements/$name.lock"; done
}

finish() {
  "$tools/python" -m hatchling build -t wheel -d /build/dist
  install /build/dist/limrank-*.whl
  "$target/bin/python" image/prepare_models.py "$target/models" > "$target/models.txt"
  cat "$target/models.txt"
  # A read-only file system cannot keep what Python compiles at each start; without times, so that builds are alike.
  # torch's own tests hold syntax of later Pythons on purpose.
  "$target/bin/python" -m compileall -q -j 0 -x torch/testing/_internal --invalidation-mode unchecked-hash "$target/lib"
  "$tools/cyclonedx-py" environment --output-reproducible --of JSON -o /build/python.json "$target/bin/python"
  "$tools/python" image/sbom.py /build/python.json /var/lib/dpkg/status > "$target/sbom.cdx.json"
  cp image/health.py "$target/health.py"
}

case "$1" in
  tools) prepare_tools ;;
  finish) finish ;;
  *) fill "$@" ;;
esac
