#!/usr/bin/env bash
# What Qt needs of the system, and a display for machines without one. Debian and Ubuntu only.
set -euo pipefail
. "$(dirname "$0")/apt.sh"

needed=(
    libegl1 libgl1 libxkbcommon-x11-0 libdbus-1-3 libxcb-cursor0 libxcb-icccm4 libxcb-image0
    libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1
    libfontconfig1 libglib2.0-0 xvfb xauth
)
if ! command -v apt-get >/dev/null; then
    echo "Not Debian or Ubuntu: Qt's libraries and a display are taken for granted." >&2
    exit 0
fi
missing=()
for package in "${needed[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' ||
        missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
