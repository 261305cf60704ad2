#!/bin/sh
# Install the moto server with its locked packages into an environment of its own: it pins another botocore than we do.
set -eu
python=$1 home=$2
rm -rf "$home"
sh scripts/venv.sh "$python" "$home"
echo "Installing $(grep -c '==' locks/moto.txt) locked packages from locks/moto.txt (about half a minute) …"
"$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r locks/moto.txt
