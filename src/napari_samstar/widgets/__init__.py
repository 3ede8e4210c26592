"""Dock widgets: the only Qt and napari code. They show the session and start jobs."""
