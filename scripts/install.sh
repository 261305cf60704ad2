#!/bin/sh
# Install one lock file, hashes checked, nothing resolved.
set -eu
venv=$1 lock=$2
echo "Installing $(grep -c '==' "$lock") locked packages from $lock (about half a minute) …"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"
