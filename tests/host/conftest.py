"""The bench on which these tests put hosts."""

from host_bench import bench, places

__all__ = ["bench", "places"]
