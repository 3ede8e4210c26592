"""How panels open, and how the window stays responsive."""
