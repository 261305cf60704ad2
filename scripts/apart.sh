#!/bin/sh
# Install a program of Python's with its locked packages into an environment of its own: it pins others than we do.
set -eu
python=$1 lock=$2 home=$3
rm -rf "$home"
sh scripts/venv.sh "$python" "$home"
sh scripts/install.sh "$home" "$lock"
