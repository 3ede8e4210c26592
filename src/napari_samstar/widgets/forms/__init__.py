"""Rows and forms that panels consist of."""
