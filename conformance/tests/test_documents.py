"""The links in the documents lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "SPEC.md")),
    *sorted((ROOT / "conformance").glob("*.md")),
    *sorted((ROOT / "protocol").glob("*.md")),
]
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_leads_to_a_file(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_links_are_found() -> None:
    """Lest the test above has nothing to look at."""
    assert "rescind_conformance/adapters/template.py" in LINK.findall((ROOT / "conformance" / "ADAPTER.md").read_text())
