#!/usr/bin/env bash
# install.sh PYTHON: the package, editable, with what the checks need; uv where it works, else pip.
set -euo pipefail
python=$1
wanted=(-c constraints.txt -e ".[test]")

"$python" -m pip install --quiet -c constraints.txt uv || echo "uv could not be installed; going on with pip." >&2
"$python" -m uv pip install --python "$python" "${wanted[@]}" ||
    "$python" -m pip install "${wanted[@]}"
