"""Binary masks of one image: storage, shape, labels, comparison."""
