"""What is known of an image without SAM: foreground, edges, blobs."""
