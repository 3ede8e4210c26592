"""Upstream's grid of points, or points that the user gives."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.prompts.base import Crop, ImpossibleConfig, Prompts, PromptSettings


class GridSource:
    """`points_per_side` x `points_per_side` points, or `point_grids`; as upstream prompts."""

    name = "grid"
    label = "Grid of points"
    help = "A regular grid over the whole image, as SAM's own mask generator has it."

    def key(self, settings: PromptSettings, layer: int, sees_centres: bool) -> Hashable:
        """Return the points per side, or the explicit points as fractions (x, y) of the crop."""
        if settings.point_grids is not None:
            if layer >= len(settings.point_grids):
                raise UserError(
                    "point_grids needs one grid for each zoom level and one for the image."
                )
            if not settings.point_grids[layer]:
                raise ImpossibleConfig(
                    "point_grids holds an empty grid: give it at least one point."
                )
            return settings.point_grids[layer]
        assert settings.points_per_side is not None
        n = int(settings.points_per_side / settings.crop_n_points_downscale_factor**layer)
        if n < 1:
            raise ImpossibleConfig(
                "No prompts are left in the smallest crops: raise 'Points per side' or lower "
                "'Fewer points in crops'."
            )
        return n

    def expected(self, key: Hashable) -> int:
        """Return the number of points."""
        if isinstance(key, int):
            return key**2
        assert isinstance(key, tuple)
        return len(key)

    def prompts(self, key: Hashable, crop: Crop) -> Prompts:
        """Return one prompt for each point."""
        from segment_anything.utils.amg import build_point_grid

        grid = build_point_grid(key) if isinstance(key, int) else key
        fractions = np.asarray(grid, dtype=np.float64).reshape(-1, 2)
        # Upstream's own arithmetic: the last bits of a point decide the last bits of a mask.
        size = np.array(crop.embedding.original_size)[None, ::-1]
        return Prompts.single_points(fractions * size)
