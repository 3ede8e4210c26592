"""Training of the bundled pocket model: synthetic images, losses, calibration, evaluation."""
