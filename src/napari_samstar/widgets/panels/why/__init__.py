"""The panel that says why an object is missing."""
