"""Requirements that bind a scheduler and that no case checks, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

NOT_OBSERVABLE: Mapping[str, str] = {
    "T1": "every case uses it: without a ROUTER that keeps routing ids apart, no message arrives",
    "T4": "binds clients and workers",
    "T6": "an option of the subject's own sockets; its effect shows only beyond any bounded number of messages",
    "S11.2": "what a scheduler counts and logs is not in its messages",
    "E1": "binds those who change the schema",
    "E2": "the sum of M3, M4 and M6, which have their own cases",
}
"""By requirement id. A test holds this and the cases against SPEC.md."""
