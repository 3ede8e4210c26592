"""Headless core: no Qt, no napari.

Data flows one way::

    images -> encoder -> proposals -> select -> features -> rewards -> search -> pareto -> labels
                             ^                                            |
                          models                                       recipe
"""
