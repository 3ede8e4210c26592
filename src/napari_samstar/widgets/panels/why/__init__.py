"""The panel that explains why an object is missing."""
