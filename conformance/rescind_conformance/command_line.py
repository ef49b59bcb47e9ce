"""What the commands share: which subject is meant, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rescind.curve import Role
from rescind_conformance.adapter_subjects import SHIPPED, adapter_by_command, shipped_adapter
from rescind_conformance.command_end import fail
from rescind_conformance.commanded_profiles import ProfiledScheduler
from rescind_conformance.known import KnownFailures, KnownFailuresError, load_known_failures
from rescind_conformance.requirements import SpecificationError
from rescind_conformance.subjects import SCHEDULERS, RunningEndpoint, Subject

_SHIPPED_KNOWN_FAILURES = Path(__file__).parent / "known_failures"
Opener = Callable[[], Subject]


def scheduler_opener(
    subject: str | None,
    endpoint: str | None,
    command: str | None = None,
    curve: Mapping[Role, Path | None] | None = None,
) -> Opener:
    """Opens the scheduler that is meant. `curve`: directories of keys for one that runs already."""
    keys = {role: directory for role, directory in (curve or {}).items() if directory is not None}
    if keys and (endpoint is None or len(keys) < len(Role)):
        fail("--curve-client and --curve-worker go together, and with --endpoint: the suite plays both")
    if command is not None:
        if subject is not None or endpoint is not None:
            fail("give only one of --subject, --endpoint and --command")
        return lambda: ProfiledScheduler(command)
    if subject is not None and endpoint is not None:
        fail("give only one of --subject and --endpoint")
    if subject is None and endpoint is None:
        fail("give one of --subject and --endpoint. Example: --subject reference")
    if endpoint is not None:
        return lambda: RunningEndpoint(endpoint, keys)
    assert subject is not None
    return SCHEDULERS[_known_subject(subject)]


def adapter_opener(role: str, subject: str | None, adapter: str | None) -> Opener:
    """Opens the client or worker that is meant."""
    if subject is not None and adapter is not None:
        fail("give only one of --subject and --adapter")
    if subject is None and adapter is None:
        fail("give one of --subject and --adapter. Example: --subject reference")
    if adapter is not None:
        return lambda: adapter_by_command(role, adapter)
    assert subject is not None
    name = _known_subject(subject)
    return lambda: shipped_adapter(role, name)


def known_failures(named: str | None) -> KnownFailures:
    """The known failures in a file, or in the shipped one of this name."""
    if named is None:
        return KnownFailures()
    shipped = _SHIPPED_KNOWN_FAILURES / f"{named}.toml"
    try:
        return load_known_failures(shipped if shipped.is_file() else Path(named))
    except (KnownFailuresError, SpecificationError) as error:
        fail(str(error))


def _known_subject(subject: str) -> str:
    if subject not in SHIPPED:
        fail(f"unknown subject {subject!r}; there are: {', '.join(SHIPPED)}")
    return subject
