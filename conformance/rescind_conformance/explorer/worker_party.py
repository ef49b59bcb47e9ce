"""A worker in a walk: its machine, the processes that run its tasks, its lives, and what may happen to it."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from rescind.messages import (
    CancelConfirmType,
    Message,
    Task,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind.worker_machine import (
    EndProcess,
    Event,
    Farewell,
    Finished,
    HeartbeatDue,
    Leave,
    Left,
    ProcessEnded,
    Received,
    ReleaseResult,
    Send,
    Start,
    WorkerMachine,
)
from rescind_conformance.explorer.cast import CRASH_REQUIREMENT, JudgeFactory, JudgeMemo, MachineMemo, Raised
from rescind_conformance.explorer.payload_store import PUT, TAKE, result_name
from rescind_conformance.explorer.scenario import WorkerPlan
from rescind_conformance.explorer.steps import Does, Effects, Item, Local, Step, Turn
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord, Violation


class Process(NamedTuple):
    """What runs a task."""

    task: Task
    ending: bool = False
    """It has been told to end."""
    stored: bool = False
    """The task has finished all the same, and its result is in the store."""


class WorkerEnv(NamedTuple):
    """What else is known of a worker."""

    life: int = 0
    lives: int = 0
    """How many more there may be."""
    there: bool = False
    """Its connection lives."""
    joined: bool = False
    heartbeats: int = 0
    crashes: int = 0
    late_finishes: int = 0
    leaves: bool = False
    dies: bool = False
    drops: bool = False
    assigned: tuple[bytes, ...] = ()
    """Tasks that came and that it has said no last word about."""
    processes: tuple[Process, ...] = ()


class WorkerParty:
    """The worker at position `peer`."""

    def __init__(
        self,
        peer: int,
        name: str,
        plan: WorkerPlan,
        machine: WorkerMachine,
        machines: MachineMemo[WorkerMachine],
        judges: JudgeMemo,
        factories: tuple[JudgeFactory, ...],
    ) -> None:
        self.peer = peer
        self.name = name
        self.machines = machines
        self._judges = judges
        self.new_machine = machines.intern(machine)
        self.new_judges = judges.intern(factories)
        self._endless = plan.endless
        env = WorkerEnv(
            lives=plan.lives - 1,
            there=True,
            heartbeats=plan.heartbeats,
            crashes=plan.crashes,
            late_finishes=plan.late_finishes,
            leaves=plan.leaves,
            dies=plan.dies,
            drops=plan.drops,
        )
        self.start = Local(self.new_machine, self.new_judges, env)

    def life_name(self, life: int) -> str:
        """Its routing id in that life, and its name in records."""
        return self.name if life == 0 else f"{self.name}.{life + 1}"

    def life(self, local: Local) -> int:
        """Under which of its routing ids it is there."""
        assert isinstance(local.env, WorkerEnv)
        return local.env.life

    def listens(self, local: Local) -> bool:
        """Whether what is sent to it arrives."""
        assert isinstance(local.env, WorkerEnv)
        return local.env.there

    def choices(self, local: Local) -> list[tuple[Step, bool]]:
        """What it can do by itself, and whether it must sooner or later."""
        env = local.env
        assert isinstance(env, WorkerEnv)
        steps = [choice for process in env.processes for choice in self._process_choices(env, process)]
        if not env.there:
            return steps
        if not env.joined:
            return [(Step(self.name, Does.JOINS), True)]
        possible = {
            Does.BEATS: env.heartbeats > 0,
            Does.LEAVES: env.leaves,
            Does.DIES: env.dies,
            Does.DROPS: env.drops,
        }
        return steps + [(Step(self.name, does), False) for does, may in possible.items() if may]

    def _process_choices(self, env: WorkerEnv, process: Process) -> list[tuple[Step, bool]]:
        task = process.task.task_id
        if not process.ending:
            steps = [(Step(self.name, Does.FINISHES, task), not self._endless)]
            return [*steps, (Step(self.name, Does.CRASHES, task), False)] if env.crashes else steps
        steps = [(Step(self.name, Does.ENDS, task), True)]
        late = env.late_finishes > 0 and not process.stored
        return [*steps, (Step(self.name, Does.FINISHES_LATE, task), False)] if late else steps

    def act(self, local: Local, step: Step) -> tuple[Local, Effects] | None:
        """Do one of its choices; None: it would have no effect."""
        turn = _WorkerTurn(self, local)
        turn.act(step)
        if step.does in (Does.BEATS, Does.LEAVES) and turn.machine == local.machine and not turn.has_effect():
            return None
        return self._close(turn)

    def receive(self, local: Local, item: Item) -> tuple[Local, Effects]:
        """Take what has come."""
        turn = _WorkerTurn(self, local)
        turn.receive(item)
        return self._close(turn)

    def beat(self, local: Local) -> tuple[Local, Effects]:
        """The next heartbeat that it sends in any case."""
        turn = _WorkerTurn(self, local)
        turn.beat()
        return self._close(turn)

    def runs(self, local: Local) -> tuple[Task, ...]:
        """What it runs."""
        assert isinstance(local.env, WorkerEnv)
        return tuple(process.task for process in local.env.processes)

    def at_rest(self, local: Local, busy: bool) -> list[Violation]:
        """What should not be so when nothing more happens, beside what its judges say."""
        held = sum(self.machines.thaw(local.machine).counts.values())
        return [Violation("W1.1", f"{self.name} holds {held} tasks for ever")] if held and not busy else []

    def _close(self, turn: _WorkerTurn) -> tuple[Local, Effects]:
        judge, found = self._judges.read(turn.judge, turn.records)
        effects = turn.effects(found, turn.records)
        if turn.over and turn.env.lives:
            env = WorkerEnv(
                life=turn.env.life + 1,
                lives=turn.env.lives - 1,
                there=True,
                heartbeats=turn.env.heartbeats,
                crashes=turn.env.crashes,
                late_finishes=turn.env.late_finishes,
                leaves=turn.env.leaves,
                dies=turn.env.dies,
                drops=turn.env.drops,
            )
            return Local(self.new_machine, self.new_judges, env), effects
        if turn.dead:
            return Local(self.new_machine, self._judges.nobody, WorkerEnv(life=turn.env.life)), effects
        return Local(turn.machine, judge, turn.env), effects


class _WorkerTurn(Turn):
    def __init__(self, party: WorkerParty, local: Local) -> None:
        assert isinstance(local.env, WorkerEnv)
        self.env = local.env
        super().__init__(party.life_name(self.env.life))
        self.machine = local.machine
        self.judge = local.judge
        self.over = False
        """This life is, and there may be another."""
        self.dead = False
        self._party = party
        self._stored: set[bytes] = set()
        """The results, of those that this step is about, that were stored."""

    def act(self, step: Step) -> None:
        env = self.env
        process = next((each for each in env.processes if each.task.task_id == step.task), None)
        match step.does:
            case Does.JOINS:
                self.env = env._replace(joined=True)
                self.beat()
            case Does.BEATS:
                self.env = env._replace(heartbeats=env.heartbeats - 1)
                self.beat()
            case Does.FINISHES if process is not None:
                self._change(process, None)
                self._finish(process)
            case Does.FINISHES_LATE if process is not None:
                self.env = env._replace(late_finishes=env.late_finishes - 1)
                self._change(process, process._replace(stored=True))
                self._finish(process)
            case Does.CRASHES if process is not None:
                self.env = env._replace(crashes=env.crashes - 1)
                self._end(process)
            case Does.ENDS if process is not None:
                self._end(process)
            case Does.LEAVES:
                self.env = env._replace(leaves=False)
                self._note(EventKind.LEAVE_REQUESTED)
                self._feed(Leave(Farewell.EXIT))
            case Does.DIES:
                # Nobody knows of what a process has stored that was told to end: its owner's leaving releases it.
                for each in env.processes:
                    if each.stored:
                        self.store(TAKE, self._result_of(each.task))
                self.dead = True
                self.fall_silent()
            case Does.DROPS:
                self._lose_scheduler()
                self.fall_silent()
            case _:
                raise AssertionError(step)

    def receive(self, item: Item) -> None:
        if item.message is None:
            self.env = self.env._replace(lives=0)  # there is nobody to come back to
            self.dead = not self.env.joined
            self._lose_scheduler()
            return
        self.record(MessageRecord(self.name, SCHEDULER, self.name, item.message))
        if isinstance(item.message, Task) and item.message.task_id not in self.env.assigned:
            self.env = self.env._replace(assigned=(*self.env.assigned, item.message.task_id))
        self._feed(Received(item.message, 0.0))

    def beat(self) -> None:
        self._feed(HeartbeatDue(WorkerHeartbeat(), 0.0))

    def _finish(self, process: Process) -> None:
        name = self._result_of(process.task)
        self.store(PUT, name)
        self._stored.add(name)
        self._note(EventKind.FINISHED, process.task.task_id)
        self._feed(Finished(process.task.task_id, TaskResultType.SUCCESS, (name,)))

    def _end(self, process: Process) -> None:
        if process.stored:
            self._stored.add(self._result_of(process.task))
        self._change(process, None)
        self._note(EventKind.PROCESS_ENDED, process.task.task_id)
        self._feed(ProcessEnded(process.task.task_id))

    def _lose_scheduler(self) -> None:
        self.record(EventRecord(self.name, EventKind.SCHEDULER_LOST, outcome="dropped"))
        self.env = self.env._replace(there=False)
        self._feed(Leave(Farewell.REJOIN))

    def _feed(self, event: Event) -> None:
        events = deque([event])
        while events:
            self.machine, instructions = self._party.machines.handle(self.machine, events.popleft())
            for instruction in instructions:
                match instruction:
                    case Send(message):
                        self._say(message)
                    case Start(task):
                        self._start(task)
                    case EndProcess(task_id):
                        process = self._process(task_id)
                        if process is None:
                            events.append(ProcessEnded(task_id))
                        else:
                            self._change(process, process._replace(ending=True))
                    case ReleaseResult(task):
                        self._note(EventKind.RESULT_RELEASED, task.task_id)
                        if self._result_of(task) in self._stored:
                            self.store(TAKE, self._result_of(task))
                    case Left(farewell):
                        self._leave(farewell)
                    case Raised(error):
                        self.accuse(CRASH_REQUIREMENT, f"the machine of {self.name} raised {error}")

    def _start(self, task: Task) -> None:
        if task.task_id not in self.env.assigned:
            self.accuse("W2.1", f"{self.name} starts {task.task_id.decode()}, which it does not hold")
        if self._process(task.task_id) is not None:
            self.accuse("W1.1", f"{self.name} starts {task.task_id.decode()}, which it runs already")
            return
        self._note(EventKind.STARTED, task.task_id)
        self.env = self.env._replace(processes=(*self.env.processes, Process(task)))

    def _leave(self, farewell: Farewell) -> None:
        if self.env.processes:
            self.accuse("W4.3", f"{self.name} leaves while a task runs")
        self.over = farewell is Farewell.REJOIN
        self.env = WorkerEnv(
            life=self.env.life,
            lives=self.env.lives if self.over else 0,
            heartbeats=self.env.heartbeats if self.over else 0,
            crashes=self.env.crashes if self.over else 0,
            late_finishes=self.env.late_finishes if self.over else 0,
            leaves=self.env.leaves and self.over,
            dies=self.env.dies and self.over,
            drops=self.env.drops and self.over,
        )

    def _say(self, message: Message) -> None:
        if not self.env.there:
            return  # into the void
        self.record(MessageRecord(self.name, self.name, SCHEDULER, message))
        honest = True
        match message:
            case TaskCancelConfirm(_, CancelConfirmType.CANCEL_FAILED):
                honest = False
            case TaskResult(task) | TaskCancelConfirm(task):
                runs = self._process(task) is not None
                if runs:
                    said = "W1.1" if isinstance(message, TaskResult) else "W2.2"
                    self.accuse(said, f"{self.name} says that {task.decode()} is over, and it runs")
                honest = task in self.env.assigned and not runs
                self.env = self.env._replace(assigned=tuple(each for each in self.env.assigned if each != task))
            case WorkerDisconnectNotification() if self.env.processes:
                self.accuse("W4.2", f"{self.name} says good-bye while a task runs")
                honest = False
        self.send(self._party.peer, self.env.life, Item(message, honest))

    def _process(self, task: bytes) -> Process | None:
        return next((each for each in self.env.processes if each.task.task_id == task), None)

    def _change(self, process: Process, changed: Process | None) -> None:
        others = tuple(each for each in self.env.processes if each != process)
        self.env = self.env._replace(processes=others if changed is None else (*others, changed))

    def _result_of(self, task: Task) -> bytes:
        return result_name(task.source, task.task_id, self.name)

    def _note(self, kind: EventKind, task: bytes = b"") -> None:
        self.record(EventRecord(self.name, kind, task=task))
