"""Models by name or file: download, load, encode, decode."""
