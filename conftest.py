"""The order of the tests: files that take long are begun first, so that no processor is idle while the last runs."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stable: within a file, and among those that are marked and those that are not, the order stays."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
