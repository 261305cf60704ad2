#!/bin/sh
# Install one of the parts of tests/programs, with its locked packages, into a directory of its own. On a machine that
# lacks what it is built with, it says so and installs nothing: the tests then skip it, and fail in CI.
set -eu
export LC_ALL=C # one order of names, everywhere
python=$1 part=$2 home=$3
source=tests/programs/$part

need() {
    for program in "$@"; do
        command -v "$program" >/dev/null || {
            echo "Skipped tests/programs/$part: $program is not installed." >&2
            exit 0
        }
    done
}

rm -rf "$home"
case $part in
python)
    sh scripts/venv.sh "$python" "$home"
    echo "Installing $(grep -c '==' "$source/requirements.txt") locked packages from $source/requirements.txt …"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$source/requirements.txt"
    ;;
sqs_consumer)
    need node npm
    node -e 'process.exit(Number(process.versions.node.split(".")[0] < 20))' || {
        echo "Skipped tests/programs/$part: it needs Node 20 or newer; $(node --version) found." >&2
        exit 0
    }
    mkdir -p "$home"
    # Node looks for packages beside the file that it runs.
    cp "$source"/* "$home"
    echo "Installing the locked packages of $source …"
    npm ci --prefix "$home" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    ;;
go_loop)
    need go
    mkdir -p "$home"
    echo "Building $source …"
    # GOFLAGS: what go.mod and go.sum say, and nothing newer.
    GOFLAGS=-mod=readonly go build -C "$source" -o "$(realpath "$home")/worker" .
    ;;
kcl)
    need java javac mvn
    mkdir -p "$home/classes"
    echo "Installing the $(wc -l <"$source/jars.sha256") locked jars of $source (about half a minute) …"
    mvn --quiet --batch-mode --file "$source/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$(realpath "$home")/jars"
    # Maven has no lock file: every jar must be one of these, and every one of these must be there.
    (cd "$home/jars" && sha256sum *.jar) | cmp - "$source/jars.sha256" || {
        echo "the jars are not those of $source/jars.sha256" >&2
        exit 1
    }
    javac -nowarn -cp "$home/jars/*" -d "$home/classes" "$source/Worker.java" 2>"$home/javac" || {
        cat "$home/javac" >&2
        exit 1
    }
    ;;
*)
    echo "no part of tests/programs is called $part" >&2
    exit 2
    ;;
esac
touch "$home/.ready"
