------------------------------ MODULE Scheduler ------------------------------
(* The scheduler, by itself: what it knows, and what it does with each message. Nothing here knows who else there    *)
(* is: Cancellation.tla puts it together with clients and workers, Trace.tla holds recorded runs against it.         *)
(*                                                                                                                   *)
(* What it knows is one record s; each operator takes it and gives a reaction, [s |-> afterwards, out |-> what is    *)
(* sent: a sequence of <<to, message>>, rows |-> the rows of the table that were taken: only looked at].             *)
(* A message is <<name, task, word>> or <<name, word>> or <<name>>; the word of a TaskCancel is the event that it is *)
(* in the tables: "cancel" or "cancel, force".                                                                       *)
EXTENDS Tables, Naturals, Sequences, FiniteSets, TLC

CONSTANTS Clients, Workers, Tasks,
          QueueSize,        \* the queueSize of workers whose heartbeats, <<"WorkerHeartbeat">>, do not say it (S8.2)
          MaxLosses         \* workers that a task is lost with before its owner is told (S9.4)

Nobody == "nobody"
Peers == Clients \cup Workers

Ignorant ==
    [ task |-> [t \in Tasks |-> [state |-> "new", owner |-> Nobody, holder |-> Nobody, losses |-> 0]],
      peer |-> [p \in Peers |-> "new"],  \* then "served"; then "lost", for ever; a lost worker that was told so: "told"
      size |-> [w \in Workers |-> QueueSize],    \* the queueSize of its last heartbeat: <<"WorkerHeartbeat", size>>
      owed |-> {},                       \* peers whose heartbeat has come and whose echo has not been sent
      mode |-> "open" ]                  \* "closing" in the grace of a shutdown, then "closed" (S9.10)

Nothing(s) == [s |-> s, out |-> <<>>, rows |-> {}]
Send(s, to, message) == [s |-> s, out |-> << <<to, message>> >>, rows |-> {}]
\* First one reaction, then what follows from what is known after it.
Then(first, Next(_)) == LET second == Next(first.s)
                        IN  [s |-> second.s, out |-> first.out \o second.out, rows |-> first.rows \cup second.rows]

Held(s, t) == s.task[t].state \notin {"new", "ended"}
HeldBy(s, w) == {t \in Tasks : s.task[t].holder = w}

------------------------------------------------------------------------------
(* One task: a row of the table. *)

SchedulerRows == SchedulerTable
SchedulerStep == TLCEval(ByStateAndEvent(SchedulerRows))

Says(row, t, old, answer) ==
    CASE row[4] = "nothing" -> <<>>
      [] row[4] = "Task to worker" -> << <<old.holder, <<"Task", t>> >> >>
      [] row[4] = "TaskCancel to worker" -> << <<old.holder, <<"TaskCancel", t, "cancel">> >> >>
      [] row[4] = "TaskCancel, force, to worker" -> << <<old.holder, <<"TaskCancel", t, "cancel, force">> >> >>
      [] row[4] = "the answer to owner" -> << <<old.owner, answer>> >>
      [] row[4] = "canceled to owner" -> << <<old.owner, <<"TaskCancelConfirm", t, "canceled">> >> >>
      [] row[4] = "failedWorkerDied to owner" -> << <<old.owner, <<"TaskResult", t, "failedWorkerDied">> >> >>

Row(s, t, event, answer) ==
    LET old == s.task[t]
        key == <<old.state, event>>
    IN  IF key \notin DOMAIN SchedulerStep
        THEN Nothing(s)                                    \* S8.3: an answer that no round is open for, and the like
        ELSE LET row == Used("scheduler", SchedulerStep[key])
                 holder == IF row[3] \in {"queued", "ended"} THEN Nobody ELSE old.holder     \* S9.9: its place is free
             IN  [s |-> [s EXCEPT !.task[t].state = row[3], !.task[t].holder = holder],
                  out |-> Says(row, t, old, answer), rows |-> {key}]

\* S9.10: what is returned during a shutdown cannot run any more.
Event(s, t, event, answer) ==
    Then(Row(s, t, event, answer), LAMBDA n : IF n.mode # "open" /\ n.task[t].state = "queued"
                                              THEN Row(n, t, "close", <<>>) ELSE Nothing(n))

\* What becomes of a task when its worker is lost (S9.2, S9.3, S9.4), its owner has left or was lost (S9.7; S9.11: one
\* that fell silent is told that nothing will come, should it still be there), or at the end of a shutdown (S9.10).
MayRunAgain(losses) == losses < MaxLosses                                                                      \* S9.4
Fate(s, t, why) ==
    LET losses == s.task[t].losses + 1
        again == IF s.mode # "open" THEN "close" ELSE IF MayRunAgain(losses) THEN "worker lost" ELSE "worker lost again"
    IN  CASE why = "worker lost" -> Row([s EXCEPT !.task[t].losses = losses], t, again, <<>>)
          [] why = "owner left" -> Row(s, t, "owner lost", <<>>)
          [] why = "owner silent" -> Then(Row(s, t, "owner lost", <<>>), LAMBDA n :
                                          Send(n, n.task[t].owner, <<"TaskCancelConfirm", t, "cancelNotFound">>))
          [] why = "close" -> Row(s, t, "close", <<>>)

\* The same for several tasks, as one step (S9.5), in whichever order.
First(tasks) == CHOOSE t \in tasks : TRUE
RECURSIVE Fates(_, _, _)
Fates(s, tasks, why) ==
    IF tasks = {} THEN Nothing(s)
    ELSE LET t == First(tasks) IN Then(Fate(s, t, why), LAMBDA n : Fates(n, tasks \ {t}, why))

------------------------------------------------------------------------------
(* What it decides by itself. *)

Room(s, w) == s.peer[w] = "served" /\ Cardinality(HeldBy(s, w)) < s.size[w]                                    \* S8.2
MayDispatch(s, t, w) == s.mode = "open" /\ s.task[t].state = "queued" /\ Room(s, w)
Dispatch(s, t, w) == Row([s EXCEPT !.task[t].holder = w], t, "dispatch", <<>>)

\* S7.1, S7.7: the table has no row for it but where the task is dispatched and no round is open.
Rebalance(s, t) == Row(s, t, "rebalance", <<>>)

\* S10.2: the echo comes after everything that came before it has caused, Tasks to workers with room included.
EchoIsDue(s) == \A t \in Tasks, w \in Workers : ~MayDispatch(s, t, w)
Echo(s, p) == Send([s EXCEPT !.owed = @ \ {p}], p, IF p \in Clients THEN <<"ClientHeartbeatEcho">>
                                                                    ELSE <<"WorkerHeartbeatEcho">>)

LoseWorker(s, w) ==                                                                              \* S9.2, S9.3, S9.5
    Fates([s EXCEPT !.peer[w] = "lost", !.owed = @ \ {w}], HeldBy(s, w), "worker lost")
LoseClient(s, c, why) ==                                                                               \* S9.7, S9.11
    Fates([s EXCEPT !.peer[c] = "lost", !.owed = @ \ {c}], {t \in Tasks : Held(s, t) /\ s.task[t].owner = c}, why)
LoseSilent(s, p) == IF p \in Workers THEN LoseWorker(s, p) ELSE LoseClient(s, p, "owner silent")               \* S9.1

\* S9.10: a shutdown in order, and its end.
RECURSIVE SendHome(_, _)
SendHome(s, workers) ==
    IF workers = {} THEN Nothing(s)
    ELSE LET w == CHOOSE w \in workers : TRUE
         IN  Then(Send(s, w, <<"ClientDisconnect", "shutdown">>), LAMBDA n : SendHome(n, workers \ {w}))
BeginToClose(s) ==
    Then(Fates([s EXCEPT !.mode = "closing"], {t \in Tasks : s.task[t].state = "queued"}, "close"),
         LAMBDA n : SendHome(n, {w \in Workers : n.peer[w] = "served"}))
EndOfGrace(s) == Fates([s EXCEPT !.mode = "closed", !.owed = {}], {t \in Tasks : Held(s, t)}, "close")

------------------------------------------------------------------------------
(* What it does with a message. *)

Greeted(s, p) == [s EXCEPT !.peer[p] = "served"]                                                             \* S10.1

Refuses(s, c, t) == s.peer[c] = "lost" \/ s.mode # "open" \/ Held(s, t)                          \* S1.3, S9.8, S9.10
OnTask(s, c, t) ==
    LET task == s.task[t]
    IN  CASE Held(s, t) /\ task.owner = c /\ task.state # "abandoned" -> Nothing(s)                           \* S1.4
          [] Refuses(s, c, t)
               -> Send(IF s.peer[c] = "new" THEN Greeted(s, c) ELSE s, c, <<"TaskCancelConfirm", t, "cancelNotFound">>)
          [] OTHER -> Nothing([Greeted(s, c) EXCEPT
                        !.task[t] = [state |-> "queued", owner |-> c, holder |-> Nobody, losses |-> 0]])       \* S2.3

\* S2.1, S2.2: to whoever does not own it, a task does not exist; S9.8: nor does one that was abandoned.
AcceptsCancel(s, c, t) == Held(s, t) /\ s.task[t].owner = c /\ s.task[t].state # "abandoned"
OnTaskCancel(s, c, t, event) ==
    IF AcceptsCancel(s, c, t) THEN Event(s, t, event, <<>>) ELSE Send(s, c, <<"TaskCancelConfirm", t, "cancelNotFound">>)

\* S8.1: a result, or the answer to a cancel, of anyone but the holder is dropped.
AcceptsAnswer(s, w, t) == s.task[t].holder = w
OnAnswer(s, w, message) ==
    IF AcceptsAnswer(s, w, message[2])
    THEN Event(s, message[2], IF message[1] = "TaskResult" THEN "result" ELSE message[3], message) ELSE Nothing(s)

\* S8.2: the last heartbeat's queueSize counts.
Sized(s, w, heartbeat) == IF Len(heartbeat) = 1 THEN s ELSE [s EXCEPT !.size[w] = heartbeat[2]]

\* S9.6, S9.8: the routing id of one that is lost stays lost.
OnHeartbeat(s, p) ==
    CASE s.peer[p] = "lost" -> Send([s EXCEPT !.peer[p] = IF p \in Workers THEN "told" ELSE @],
                                    p, <<"ClientDisconnect", "disconnect">>)
      [] s.peer[p] = "told" -> Send(s, p, <<"ClientDisconnect", "shutdown">>)
      [] s.peer[p] = "new" /\ p \in Workers /\ s.mode # "open" -> Send(s, p, <<"ClientDisconnect", "shutdown">>)
      [] OTHER -> Nothing([Greeted(s, p) EXCEPT !.owed = @ \cup {p}])

OnGoodBye(s, p) ==
    IF s.peer[p] # "served" THEN Nothing(s)                                                                    \* S9.1
    ELSE IF p \in Workers THEN LoseWorker(s, p) ELSE LoseClient(s, p, "owner left")

\* S11.3: what belongs to the other role is dropped.
OnMessage(s, p, message) ==
    CASE p \in Clients /\ message[1] = "Task" -> OnTask(s, p, message[2])
      [] p \in Clients /\ message[1] = "TaskCancel" -> OnTaskCancel(s, p, message[2], message[3])
      [] p \in Clients /\ message[1] = "ClientHeartbeat" -> OnHeartbeat(s, p)
      [] p \in Clients /\ message = <<"ClientDisconnect", "disconnect">> -> OnGoodBye(s, p)
      [] p \in Workers /\ message[1] \in {"TaskResult", "TaskCancelConfirm"} -> OnAnswer(s, p, message)
      [] p \in Workers /\ message[1] = "WorkerHeartbeat" -> OnHeartbeat(Sized(s, p, message), p)
      [] p \in Workers /\ message[1] = "WorkerDisconnectNotification" -> OnGoodBye(s, p)
      [] OTHER -> Nothing(s)
=============================================================================
