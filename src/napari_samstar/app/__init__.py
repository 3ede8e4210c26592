"""What the panels share besides widgets: the session of a viewer, and corrections."""
