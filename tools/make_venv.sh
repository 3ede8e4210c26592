#!/usr/bin/env bash
# make_venv.sh PYTHON FOLDER: a virtual environment, also where Debian left out ensurepip.
set -euo pipefail
python=$1 venv=$2
. "$(dirname "$0")/apt.sh"

command -v "$python" >/dev/null || {
    echo "There is no '$python': install Python 3.11 or later, or say 'make PYTHON=...'." >&2
    exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "$("$python" --version) is too old: 'make PYTHON=python3.11' needs 3.11 or later." >&2
    exit 1
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    command -v apt-get >/dev/null || {
        echo "'$python' has no venv module: install it with your system's package manager." >&2
        exit 1
    }
    apt_install python3-venv
fi
"$python" -m venv "$venv"
