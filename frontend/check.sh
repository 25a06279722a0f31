#!/bin/sh
# Rebuilds the bundles from the locked packages and compares them with the committed ones; exits 1 when they differ.
set -eu
cd "$(dirname "$0")"
npm ci --no-audit --no-fund --ignore-scripts
npm test
npm run check
