-------------------------------- MODULE Broken --------------------------------
(* The protocol with one mistake each, to see that each promise can be broken and that TLC notices it. Each operator *)
(* here takes the place of one of the model's; variants.toml says of which, and which promise it breaks.             *)
EXTENDS Promises

\* A table with one row instead of another of the same state and event.
With(table, row) == {old \in table : <<old[1], old[2]>> # <<row[1], row[2]>>} \cup {row}

(* The scheduler's table *)

ResultIsNotTheEnd == With(SchedulerTable, <<"dispatched", "result", "dispatched", "the answer to owner">>)
RefusalIsSwallowed == With(SchedulerTable, <<"canceling", "cancelFailed", "dispatched", "nothing">>)
CanceledIsSaidAtOnce == With(SchedulerTable, <<"dispatched", "cancel", "ended", "canceled to owner">>)
CanceledTaskIsPlacedAgain == With(SchedulerTable, <<"canceling", "worker lost", "queued", "nothing">>)
RefusedMoveIsMade == With(SchedulerTable, <<"rebalancing", "cancelFailed", "queued", "nothing">>)
EachCancelIsPassedOn == With(SchedulerTable, <<"canceling", "cancel", "canceling", "TaskCancel to worker">>)
FirstRefusalEndsTheRound == With(SchedulerTable, <<"escalated", "cancelFailed", "dispatched", "the answer to owner">>)
ForceWaitsForTheMove == With(SchedulerTable, <<"rebalancing", "cancel, force", "rebalancing", "nothing">>)
LostWithItsWorker == With(SchedulerTable, <<"dispatched", "worker lost", "ended", "nothing">>)
ResultIsSwallowed == With(SchedulerTable, <<"canceling", "result", "canceling", "nothing">>)
ForceIsNotPassedOn == With(SchedulerTable, <<"dispatched", "cancel, force", "canceling", "TaskCancel to worker">>)
RefusedMoveIsTold == With(SchedulerTable, <<"rebalancing", "cancelFailed", "dispatched", "the answer to owner">>)
MoveEndsWork == With(SchedulerTable, <<"dispatched", "rebalance", "rebalancing", "TaskCancel, force, to worker">>)
OrphansRunOn == With(SchedulerTable, <<"dispatched", "owner lost", "abandoned", "nothing">>)
ClosesInSilence == With(SchedulerTable, <<"dispatched", "close", "ended", "nothing">>)
ForceIsPassedOnTwice == With(SchedulerTable, <<"forcing", "cancel, force", "escalated", "TaskCancel, force, to worker">>)
CanceledIsSwallowed == With(SchedulerTable, <<"escalated", "canceled", "forcing", "nothing">>)
FailsWithItsWorker == With(SchedulerTable, <<"canceling", "worker lost again", "ended", "failedWorkerDied to owner">>)
FailsAtTheFirstLoss == With(SchedulerTable, <<"dispatched", "worker lost", "ended", "failedWorkerDied to owner">>)
OrphansAreForgotten == With(SchedulerTable, <<"dispatched", "owner lost", "ended", "TaskCancel, force, to worker">>)
AbandonedKeepsItsPlace == With(SchedulerTable, <<"abandoned", "canceled", "abandoned", "nothing">>)

(* The scheduler *)

AnyWorkerAnswers(s, w, t) == Held(s, t)
AnyClientCancels(s, c, t) == Held(s, t) /\ s.task[t].state # "abandoned"
RoomWithoutEnd(s, w) == s.peer[w] = "served"
EchoAtOnce(s) == TRUE
RefusesNothingAtTheEnd(s, c, t) == s.peer[c] = "lost" \/ Held(s, t)
SilentOwnersAreForgotten(s, p) == IF p \in Workers THEN LoseWorker(s, p) ELSE LoseClient(s, p, "owner left")
NobodyIsSentHome(s, workers) == Nothing(s)
LostWithoutEnd(losses) == TRUE
TakesTasksOfTheLost(s, c, t) == s.mode # "open" \/ Held(s, t)
HearsNobodyElse(s, c, t, event) == IF AcceptsCancel(s, c, t) THEN Event(s, t, event, <<>>) ELSE Nothing(s)
TellsAnotherToo(s, c, t, event) ==
    IF ~AcceptsCancel(s, c, t) THEN Send(s, c, <<"TaskCancelConfirm", t, "cancelNotFound">>)
    ELSE Then(Event(s, t, event, <<>>), LAMBDA n :
              Send(n, CHOOSE other \in Clients : other # c, <<"TaskCancelConfirm", t, "canceled">>))
WaitingIsNotFound(s, c, t, event) ==
    IF AcceptsCancel(s, c, t) /\ s.task[t].holder # Nobody THEN Event(s, t, event, <<>>)
    ELSE Send([s EXCEPT !.task[t].state = IF AcceptsCancel(s, c, t) THEN "ended" ELSE @],
              c, <<"TaskCancelConfirm", t, "cancelNotFound">>)
RoomAtIdleWorkersOnly(s, w) == s.peer[w] = "served" /\ HeldBy(s, w) = {}
ClosesAtOnce(s) == EndOfGrace(s)
ClosesAtTheEnd(s) == SendHome([s EXCEPT !.mode = "closing"], {w \in Workers : s.peer[w] = "served"})
NeverEchoes(s, p) == IF s.peer[p] \in {"lost", "told"} THEN OnHeartbeat(s, p) ELSE Nothing(Greeted(s, p))
WhoeverLeftIsTold(s, p) ==
    IF s.peer[p] # "served" THEN Nothing(s)
    ELSE IF p \in Workers THEN LoseWorker(s, p) ELSE LoseClient(s, p, "owner silent")
NothingIsDue == FALSE
LostIsTakenBack(s, p) == Nothing([Greeted(s, p) EXCEPT !.owed = @ \cup {p}])
LostIsEchoed(s, p) == Nothing([s EXCEPT !.peer[p] = IF @ = "new" THEN "served" ELSE @, !.owed = @ \cup {p}])

(* The client's and the worker's table, and a worker that leaves *)

ResultAfterCancel == With(ClientTable, <<"canceling", "result", "finished", "deliver the result">>)
RefusalCancels == With(ClientTable, <<"canceling", "cancelFailed", "cancelled", "cancelled: confirmed">>)
JoiningAsksAgain == With(ClientTable, <<"canceling", "cancel", "canceling", "TaskCancel">>)
ForceIsNotAsked == With(ClientTable, <<"running", "cancel, force", "canceling", "TaskCancel">>)
DisconnectSettlesNothing == With(ClientTable, <<"running", "disconnect", "running", "cancelled: disconnected">>)
SettledAgain == With(ClientTable, <<"finished", "cancelNotFound", "cancelled", "cancelled: not found">>)
CanceledAndKept == With(WorkerTable, <<"queued", "cancel", "queued", "TaskCancelConfirm, canceled">>)
CanceledBeforeItEnds == With(WorkerTable, <<"running", "cancel, force", "leaving", "TaskCancelConfirm, canceled">>)
CancelEndsWork == With(WorkerTable, <<"running", "cancel", "ending", "end its process">>)
CrashIsSilent == With(WorkerTable, <<"running", "process ended", "ended", "nothing">>)
LeavesWithoutAWord(w) == <<>>
AcceptsWhileLeaving(w, t) == assignment[w][t] = "none"
CancelOfARunningTaskIsLost == With(WorkerTable, <<"running", "cancel", "running", "nothing">>)
=============================================================================
