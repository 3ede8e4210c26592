"""Image files: one reader a format, in one registry."""
