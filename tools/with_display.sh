#!/usr/bin/env bash
# with_display.sh COMMAND...: run it on a virtual display, so that no window disturbs anyone.
set -euo pipefail
if command -v xvfb-run >/dev/null; then
    export QT_QPA_PLATFORM=xcb
    exec xvfb-run -a -s "-screen 0 1920x1200x24 +extension GLX" "$@"
fi
exec "$@"
