------------------------------- MODULE Tables -------------------------------
(* The three state tables of SPEC.md, row by row and word by word: <<state, event, next state, sends or does>>.      *)
(* A test compares them with SPEC.md and with the tables of the reference's machines, so that none can drift.        *)
(* A pair of state and event that is not listed changes nothing and sends nothing.                                   *)

\* SPEC.md, "The scheduler's table": one task.
SchedulerTable == {
    <<"waiting", "ready", "queued", "nothing">>,
    <<"waiting", "skip", "ended", "the failure to owner">>,
    <<"waiting", "cancel", "ended", "canceled to owner">>,
    <<"waiting", "cancel, force", "ended", "canceled to owner">>,
    <<"waiting", "owner lost", "ended", "nothing">>,
    <<"waiting", "close", "ended", "canceled to owner">>,
    <<"queued", "skip", "ended", "the failure to owner">>,
    <<"queued", "dispatch", "dispatched", "Task to worker">>,
    <<"queued", "cancel", "ended", "canceled to owner">>,
    <<"queued", "cancel, force", "ended", "canceled to owner">>,
    <<"queued", "owner lost", "ended", "nothing">>,
    <<"queued", "close", "ended", "canceled to owner">>,
    <<"dispatched", "cancel", "canceling", "TaskCancel to worker">>,
    <<"dispatched", "cancel, force", "forcing", "TaskCancel, force, to worker">>,
    <<"dispatched", "rebalance", "rebalancing", "TaskCancel to worker">>,
    <<"dispatched", "result", "ended", "the answer to owner">>,
    <<"dispatched", "worker lost", "queued", "nothing">>,
    <<"dispatched", "worker lost again", "ended", "failedWorkerDied to owner">>,
    <<"dispatched", "owner lost", "abandoned", "TaskCancel, force, to worker">>,
    <<"dispatched", "close", "ended", "canceled to owner">>,
    <<"canceling", "cancel", "canceling", "nothing">>,
    <<"canceling", "cancel, force", "escalated", "TaskCancel, force, to worker">>,
    <<"canceling", "result", "ended", "the answer to owner">>,
    <<"canceling", "canceled", "ended", "the answer to owner">>,
    <<"canceling", "cancelFailed", "dispatched", "the answer to owner">>,
    <<"canceling", "cancelNotFound", "ended", "the answer to owner">>,
    <<"canceling", "worker lost", "ended", "canceled to owner">>,
    <<"canceling", "worker lost again", "ended", "canceled to owner">>,
    <<"canceling", "owner lost", "abandoned", "TaskCancel, force, to worker">>,
    <<"canceling", "close", "ended", "canceled to owner">>,
    <<"escalated", "cancel", "escalated", "nothing">>,
    <<"escalated", "cancel, force", "escalated", "nothing">>,
    <<"escalated", "result", "ended", "the answer to owner">>,
    <<"escalated", "canceled", "ended", "the answer to owner">>,
    <<"escalated", "cancelFailed", "forcing", "nothing">>,
    <<"escalated", "cancelNotFound", "ended", "the answer to owner">>,
    <<"escalated", "worker lost", "ended", "canceled to owner">>,
    <<"escalated", "worker lost again", "ended", "canceled to owner">>,
    <<"escalated", "owner lost", "abandoned", "nothing">>,
    <<"escalated", "close", "ended", "canceled to owner">>,
    <<"forcing", "cancel", "forcing", "nothing">>,
    <<"forcing", "cancel, force", "forcing", "nothing">>,
    <<"forcing", "result", "ended", "the answer to owner">>,
    <<"forcing", "canceled", "ended", "the answer to owner">>,
    <<"forcing", "cancelFailed", "dispatched", "the answer to owner">>,
    <<"forcing", "cancelNotFound", "ended", "the answer to owner">>,
    <<"forcing", "worker lost", "ended", "canceled to owner">>,
    <<"forcing", "worker lost again", "ended", "canceled to owner">>,
    <<"forcing", "owner lost", "abandoned", "nothing">>,
    <<"forcing", "close", "ended", "canceled to owner">>,
    <<"rebalancing", "cancel", "canceling", "nothing">>,
    <<"rebalancing", "cancel, force", "escalated", "TaskCancel, force, to worker">>,
    <<"rebalancing", "result", "ended", "the answer to owner">>,
    <<"rebalancing", "canceled", "queued", "nothing">>,
    <<"rebalancing", "cancelFailed", "dispatched", "nothing">>,
    <<"rebalancing", "cancelNotFound", "queued", "nothing">>,
    <<"rebalancing", "worker lost", "queued", "nothing">>,
    <<"rebalancing", "worker lost again", "ended", "failedWorkerDied to owner">>,
    <<"rebalancing", "owner lost", "abandoned", "TaskCancel, force, to worker">>,
    <<"rebalancing", "close", "ended", "canceled to owner">>,
    <<"abandoned", "result", "ended", "nothing">>,
    <<"abandoned", "canceled", "ended", "nothing">>,
    <<"abandoned", "cancelFailed", "abandoned", "nothing">>,
    <<"abandoned", "cancelNotFound", "ended", "nothing">>,
    <<"abandoned", "worker lost", "ended", "nothing">>,
    <<"abandoned", "worker lost again", "ended", "nothing">>,
    <<"abandoned", "close", "ended", "nothing">>
}

\* SPEC.md, "The client's table": one future.
ClientTable == {
    <<"running", "cancel", "canceling", "TaskCancel">>,
    <<"running", "cancel, force", "canceling", "TaskCancel, force">>,
    <<"running", "result", "finished", "deliver the result">>,
    <<"running", "canceled", "cancelled", "cancelled: confirmed">>,
    <<"running", "cancelNotFound", "cancelled", "cancelled: not found">>,
    <<"running", "disconnect", "cancelled", "cancelled: disconnected">>,
    <<"canceling", "cancel", "canceling", "join the round">>,
    <<"canceling", "cancel, force", "canceling", "join the round">>,
    <<"canceling", "result", "cancelled", "cancelled: result discarded">>,
    <<"canceling", "canceled", "cancelled", "cancelled: confirmed">>,
    <<"canceling", "cancelFailed", "running", "round ends: refused">>,
    <<"canceling", "cancelNotFound", "cancelled", "cancelled: not found">>,
    <<"canceling", "time limit", "cancelled", "cancelled: timed out">>,
    <<"canceling", "disconnect", "cancelled", "cancelled: disconnected">>
}

\* SPEC.md, "The worker's table": one assignment.
WorkerTable == {
    <<"queued", "start", "running", "start it">>,
    <<"queued", "cancel", "ended", "TaskCancelConfirm, canceled">>,
    <<"queued", "cancel, force", "ended", "TaskCancelConfirm, canceled">>,
    <<"queued", "leave", "ended", "nothing">>,
    <<"running", "cancel", "running", "TaskCancelConfirm, cancelFailed">>,
    <<"running", "cancel, force", "ending", "end its process">>,
    <<"running", "finished", "ended", "TaskResult">>,
    <<"running", "process ended", "ended", "TaskResult, failedWorkerDied">>,
    <<"running", "leave", "leaving", "end its process">>,
    <<"ending", "cancel", "ending", "nothing">>,
    <<"ending", "cancel, force", "ending", "nothing">>,
    <<"ending", "finished", "ending", "nothing">>,
    <<"ending", "process ended", "ended", "TaskCancelConfirm, canceled">>,
    <<"ending", "leave", "leaving", "nothing">>,
    <<"leaving", "cancel", "leaving", "nothing">>,
    <<"leaving", "cancel, force", "leaving", "nothing">>,
    <<"leaving", "finished", "leaving", "nothing">>,
    <<"leaving", "process ended", "ended", "nothing">>
}

\* A table as a function from <<state, event>> to its row. TLC computes it once for each table.
ByStateAndEvent(table) ==
    [key \in {<<row[1], row[2]>> : row \in table} |-> CHOOSE row \in table : <<row[1], row[2]>> = key]

\* The row, as it is taken. Coverage.tla puts in its place what tells that it was.
Used(table, row) == row
=============================================================================
