"""What belongs to a viewer, whichever panels are open."""
