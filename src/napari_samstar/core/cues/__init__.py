"""Cues: estimates of foreground, edges and blobs from the image, independent of SAM."""
