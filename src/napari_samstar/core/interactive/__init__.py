"""Interactive segmentation of one object by clicks and boxes."""
