"""How panels open, and how the window stays responsive: imports nothing else of the widgets."""
