"""Fine-tuning of the mask decoder on accepted objects."""
