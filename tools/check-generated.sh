#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# check-generated.sh: runs `make generate` and fails if it changes a file. The files are then up to date: commit them.
#
# The comparison is with the files as they were, not with git: it works without git and with uncommitted work.
set -euo pipefail
before=$(mktemp -d)
trap 'rm -r "$before"' EXIT
after=$before/after
mkdir "$after"

# What mdatagen and bpf2go write. README.md is generated between markers only; the rest of it does not change here.
snapshot() {
  find . -path ./_build -prune -o -path ./.git -prune -o -path ./.cache -prune -o -type f \
    \( -name 'generated_*' -o -name config.schema.json -o -name documentation.md -o -path './README.md' \
    -o -path './internal/metadata/*' -o -path './internal/metadatatest/*' -o -path './.schemas/*' \) -print0 |
    xargs -0 -r cp --parents -t "$1"
}
snapshot "$before"
"${MAKE:-make}" -s generate
snapshot "$after"
if ! diff -ru --exclude=after "$before" "$after"; then
  echo "!! generated files were out of date (see above); they are right now, commit them" >&2
  exit 1
fi
