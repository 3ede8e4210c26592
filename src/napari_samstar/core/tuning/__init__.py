"""The search of SAM's settings: evaluator, NSGA-II, Pareto front, storage."""
