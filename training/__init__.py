"""Makes the bundled pocket model: synthetic micrographs, losses, training, calibration, report."""
