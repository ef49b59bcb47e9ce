"""The rules for what a scheduler sends about its peers: echoes, ClientDisconnect, ClientShutdownResponse."""

from __future__ import annotations

from rescind.messages import ClientDisconnect, ClientShutdownResponse, DisconnectType
from rescind_conformance.judge.scheduler_books import SHUTDOWN
from rescind_conformance.judge.scheduler_entries import PeerBook
from rescind_conformance.judge.scheduler_findings import Findings


class PeerRules(Findings):
    """Each message is held against what the peer was, and has said."""

    def _on_echoed(self, to: str, role: str) -> None:
        books = self._books
        peer = books.peer(to)
        if not (peer.heartbeats or peer.excused) or (peer.role != role and not peer.vague):
            lost = peer.lost_by("S9.6" if peer.role == "worker" else "S9.8")
            requirement = "S11.3" if peer.role not in ("", role) else lost if peer.lost else self._reacts(to) or "S10.1"
            if not peer.role and books.dues.take(to, SHUTDOWN) is not None:
                requirement = "S9.10"  # it has come during the shutdown
            self._break(requirement, f"sends {to} an echo, to no heartbeat of a {role} that it serves")
            return
        if peer.heartbeats:
            peer.heartbeats -= 1
        else:
            peer.excused -= 1
        books.serve(to, role)
        missing = books.dues.on_echo(to)
        for due in missing:
            self._missing(due)
        if (left := books.left_waiting(to)) > 0:
            self._left_waiting(left, f" when it echoes {to}", silently=bool(missing))

    def _on_dismissed(self, to: str, message: ClientDisconnect) -> None:
        books = self._books
        peer = books.peer(to)
        said = f"sends {to} {self._words(message)}"
        if message == SHUTDOWN and not peer.sure and peer.heartbeats:
            books.excuse_heartbeats(to, 1)  # it may have come during the shutdown
        if books.dues.take(to, message) is not None:
            peer.told = peer.told or peer.lost or peer.role != "worker"
        elif peer.vague:
            peer.heartbeats = max(0, peer.heartbeats - 1)
        elif peer.excused and not peer.lost and message.disconnect_type == DisconnectType.DISCONNECT:
            peer.excused -= 1
        elif peer.lost:
            self._on_lost_told(to, peer, message, said)
        elif message == SHUTDOWN and (books.closing or (peer.role == "worker" and books.may_be_closing())):
            if not books.closing:
                books.close_unsaid()
                books.dues.take(to, message)
        elif not peer.sure and peer.heartbeats and message.disconnect_type == DisconnectType.DISCONNECT:
            self._refusals_before(to, said)
            peer.heartbeats -= 1
            peer.role = ""  # S11.5: it is one too many
            for due in books.dues.about(message):
                if due.to == to and due.message == SHUTDOWN:
                    books.dues.excuse(due)
        else:
            beyond = not peer.sure and bool(peer.heartbeats or peer.excused)
            denied = books.refused_to_close and message == SHUTDOWN
            unasked = self._disturbed_by(to) or ("S11.4" if self._departed else "S9.1")
            wanted = "S11.6" if denied else "S11.5" if beyond else unasked
            self._break(self._reacts(to) or wanted, f"{said}, which has not left")
            peer.vague = True
            for task_id, task in list(books.tasks.items()):
                if to in (task.owner, task.holder) and task.stage in ("held", "abandoned"):
                    books.give_up(task_id, books.held(task_id))

    def _refusals_before(self, to: str, said: str) -> None:
        """A client is one too many: the Tasks that came before this heartbeat of its have been refused."""
        for due in [due for due in self._books.dues if due.refuses and due.to == due.cause == to and due.echoes]:
            if due.echoes > 1:
                self._books.dues.defer(due)
            else:
                self._break("S11.5", f"{said} before {self._words(due.message)}")
                task_id = getattr(due.message, "task_id", b"")
                if task_id in self._books.graphs:
                    self._books.give_up_graph(self._books.graphs[task_id])
                else:
                    self._books.give_up(task_id, self._books.held(task_id))

    def _on_lost_told(self, to: str, peer: PeerBook, message: ClientDisconnect, said: str) -> None:
        """Not what was due, or unasked."""
        books = self._books
        asked = [due for due in books.dues.about(message) if due.to == to and isinstance(due.message, ClientDisconnect)]
        if not asked:
            peer.warned = True
            return
        books.dues.remove(asked[0])
        goes_on = message == SHUTDOWN and peer.told and peer.role == "worker"
        if not goes_on and not (peer.warned and peer.role == "worker"):
            self._break(asked[0].requirement, f"{said}, not {self._words(asked[0].message)}")
        peer.told = True

    def _on_response(self, to: str, message: ClientShutdownResponse) -> None:
        books = self._books
        said = f"sends {to} {self._words(message)}"
        due = books.dues.take(to, message)
        if due is not None:
            self._come_late(said, due)
        if due is None:
            peer = books.peer(to)
            requirement = "S11.3" if peer.role == "worker" else peer.lost_by("S9.8") if peer.lost else "S11.6"
            self._break(requirement, f"{said}, which has not asked for a shutdown")
        elif message.accepted:
            books.close()
            books.closing_unsaid = False
        else:
            books.refused_to_close = True
            asked = any(isinstance(due.message, ClientShutdownResponse) for due in books.dues)
            if books.closing_unsaid and not asked:
                self._break("S11.6", f"{said}, though it shuts down")
                books.closing_unsaid = False
