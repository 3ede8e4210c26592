"""From a file or a layer to the image that SAM sees."""
