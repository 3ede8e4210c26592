"""Clicks on one object, and the mask that agrees with them."""
