#!/bin/sh
# Create the virtual environment. A bare Debian has python3 but not python3-venv: install it by apt where
# that is allowed, else say in one line what to install.
set -eu
python=$1 venv=$2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "gameday needs Python 3.11 or newer; $("$python" --version) found. Name another with: make PYTHON=python3.12" >&2
    exit 1
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing python3-venv by apt …"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv; } >/tmp/gameday-apt.log 2>&1 || {
            cat /tmp/gameday-apt.log >&2
            echo "apt could not install python3-venv; install it by hand and run make again." >&2
            exit 1
        }
    else
        echo "Python's venv module is missing. Install it (Debian, Ubuntu: sudo apt-get install python3-venv) and run make again." >&2
        exit 1
    fi
fi
"$python" -m venv "$venv"
