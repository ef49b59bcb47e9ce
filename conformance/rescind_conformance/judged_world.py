"""What the worlds of a client and of a worker share about the judge: what it reads of a case, and what it finds."""

from __future__ import annotations

from abc import abstractmethod

from rescind_conformance.adapter import Adapter
from rescind_conformance.audit import UNDECIDED, Audit
from rescind_conformance.findings import Conversation
from rescind_conformance.played_scheduler import PlayedScheduler
from rescind_conformance.trace import SCHEDULER, Entry


class JudgedWorld(PlayedScheduler):
    """A world whose trace is put to the judge when its case has ended. For one thread."""

    def __init__(self, conversation: Conversation, adapter: Adapter) -> None:
        super().__init__(conversation, adapter)
        self._at_rest = False

    def audit(self) -> None:
        """Where the case has found a departure this says nothing: it would most likely be the same one. Of what the
        judge finds only the first is told: what comes after that may be its consequence.
        """
        if self.departures:
            return
        judged = self._judged()
        for violation, position in judged.findings[:1]:
            self.depart(violation.requirement, f"seen in the trace: {violation.text}", position=position)
        if judged.undecided:
            self.trace.append(Entry(self._step, SCHEDULER, SCHEDULER, None, UNDECIDED))

    @abstractmethod
    def _judged(self) -> Audit:
        """What the judge finds in the trace so far."""

    def _rest(self) -> None:
        """Nothing is on its way any more: wait for what the subject still has to do by itself."""
        self._at_rest = True
        self._wait_plainly(lambda: not self._has_more_to_do())

    def _has_more_to_do(self) -> bool:
        """Whether it breaks something that it may yet do."""
        findings = self._judged().findings
        return bool(findings) and all(one.position == len(self.trace) for one in findings)

    def _id_of(self, name: str) -> bytes:
        """The id of a task that has this name in traces, b"" if there is none."""
        return next((task_id for task_id, known in self.names.items() if known == name), b"")
