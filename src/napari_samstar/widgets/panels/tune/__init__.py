"""The Tune panel."""
