"""The Pareto front panel."""
