#!/usr/bin/env bash
# Packs what was built into a release: the same build gives the same bytes, so its digest names it.
# Usage: npm run package [-- FILE]
# SPDX-License-Identifier: GPL-3.0-or-later
set -euo pipefail

output=$(cd "${INIT_CWD:-$PWD}" && realpath -m "${1:-$(dirname "$0")/../order-processing.tar.gz}")
cd "$(dirname "$0")/.."

tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
  -cf - dist package.json package-lock.json ecosystem.config.js | gzip -9n >"$output.partial"
mv "$output.partial" "$output"
sha256sum "$output"
