"""One id for an object through the planes of a stack: depth (z) or time (t)."""
