"""The bench on which these tests put hosts."""

from host_bench import bench, limits, places

__all__ = ["bench", "limits", "places"]
