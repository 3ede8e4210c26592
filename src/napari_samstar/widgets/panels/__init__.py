"""The dock panels, one package each."""
