"""Where SAM is prompted: points, boxes, and the sources that propose them."""
