"""Text colours that are readable on napari's dark and light theme."""

LINK_COLOUR = "#4fb0c6"
ERROR_COLOUR = "#e0605a"
