#!/bin/sh
# Programs of Debian's that tests need, by their packages: installs those that are missing, where apt is and may be used.
set -eu
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Install by hand what is missing of: $*" >&2
    exit 0
fi
missing=
for package in "$@"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "Installing$missing by apt …"
apt-get update -qq
# shellcheck disable=SC2086  # one word each
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
