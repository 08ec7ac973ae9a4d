"""What every store must do, for whoever writes one: with pytest, or without."""

from __future__ import annotations

from relay_hub.testing.checking import Report, Row, check_store
from relay_hub.testing.conformance import StoreConformance

__all__ = ["Report", "Row", "StoreConformance", "check_store"]
