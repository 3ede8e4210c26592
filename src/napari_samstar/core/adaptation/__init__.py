"""A mask decoder that learns from accepted objects."""
