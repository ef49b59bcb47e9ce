----------------------------- MODULE Cancellation -----------------------------
(* The Task Cancellation Protocol: clients, one scheduler, workers, and what SPEC.md promises of them together.      *)
(*                                                                                                                   *)
(* Each connection is two queues in order (T3); between connections any order happens. What a party does with a task *)
(* is a row of its table (Tables.tla). What may happen to the parties, cancels and failures, is bounded;  *)
(* what they owe one another is fair. README.md says what is left out.                                               *)
EXTENDS Scheduler

CONSTANTS Owner,            \* the client that submits each task
          Slots,            \* tasks that a worker runs at once
          Late,             \* workers that are not there at the beginning, ids for those who come back, too; and tasks
                            \* that are submitted later, when more has been said
          Faults,           \* what may go wrong: a subset of the names in "What goes wrong" below
          Cancels, Intrusions, Moves, Beats, Failures, Closes     \* how often each may happen: see `left`

VARIABLES sch,              \* the scheduler: see Scheduler.tla
          toScheduler,      \* for each peer, its messages on their way to the scheduler
          toPeer,           \* for each peer, the scheduler's messages on their way to it
          line,             \* its connection: "open", "closed" (by the peer: what it has sent still comes), or "cut"
          life,             \* "off" (not there yet), "up", "exit" or "rejoin" (it leaves: W4.2, W4.3), "gone"
          future,           \* the client's future of each task: a state of its table, "new" before it is submitted
          eager,            \* tasks whose open round was joined by a call with force (C6.3)
          wanted,           \* only looked at: what the callers in the open round of each future want, at most
          assignment,       \* the worker's state of each task, "none" without one
          told,             \* only looked at: the terminal messages that the owner of each task was sent
          asked,            \* only looked at: what the owner's round that is open at the scheduler asks for, at most
          left              \* what is left of the budget
vars == <<sch, toScheduler, toPeer, line, life, future, eager, wanted, assignment, told, asked, left>>
futures == <<future, eager, wanted>>
peers == <<line, life, futures, assignment>>

\* A client that submits later is one whose Tasks are on their way for longer: but for what it says in between (Late).
RECURSIVE Submissions(_)
Submissions(tasks) == IF tasks = {} THEN <<>>
                      ELSE LET t == CHOOSE t \in tasks : TRUE IN << <<"Task", t>> >> \o Submissions(tasks \ {t})

Init ==
    /\ sch = [Ignorant EXCEPT !.peer = [p \in Peers |-> IF p \in Workers \ Late THEN "served" ELSE "new"]]
    /\ toScheduler = [p \in Peers |-> Submissions({t \in Tasks \ Late : Owner[t] = p})]
    /\ toPeer = [p \in Peers |-> <<>>]
    /\ line = [p \in Peers |-> "open"]
    /\ life = [p \in Peers |-> IF p \in Late THEN "off" ELSE "up"]
    /\ future = [t \in Tasks |-> IF t \in Late THEN "new" ELSE "running"]
    /\ eager = {}
    /\ wanted = [t \in Tasks |-> "nothing"]
    /\ assignment = [w \in Workers |-> [t \in Tasks |-> "none"]]
    /\ told = [t \in Tasks |-> <<>>]
    /\ asked = [t \in Tasks |-> "nothing"]
    /\ left = [cancels |-> Cancels, intrusions |-> Intrusions, moves |-> Moves, beats |-> Beats,
                failures |-> Failures, closes |-> Closes]

\* What a round asks for when another call or TaskCancel joins it, or none does ("nothing").
Stronger(one, other) == IF one = "nothing" \/ other = "cancel, force" THEN other
                        ELSE one

Spend(what) == left[what] > 0 /\ left' = [left EXCEPT ![what] = @ - 1]

------------------------------------------------------------------------------
(* The scheduler takes a message, or decides. *)

SentTo(out, p) == LET mine == SelectSeq(out, LAMBDA item : item[1] = p) IN [i \in DOMAIN mine |-> mine[i][2]]
IsAbout(message, t) == message[1] \in {"TaskCancelConfirm", "TaskResult"} /\ message[2] = t

\* The first `cancelNotFound` may be a terminal message; later ones answer TaskCancels that came too late (S2.1).
Terminals(t, out) ==
    SelectSeq(SentTo(out, Owner[t]), LAMBDA message : /\ IsAbout(message, t) /\ message[3] # "cancelFailed"
                                                      /\ message[3] = "cancelNotFound" => told[t] = <<>>)

React(reaction) ==
    /\ sch' = reaction.s
    /\ toPeer' = [p \in Peers |-> IF line[p] = "open" THEN toPeer[p] \o SentTo(reaction.out, p) ELSE toPeer[p]]
    /\ told' = [t \in Tasks |-> IF Len(told[t]) < 2 THEN told[t] \o Terminals(t, reaction.out) ELSE told[t]]
    /\ UNCHANGED peers

\* The owner's round: from its TaskCancel for a task that is not over until the answer, or the owner's loss.
Answered(t, out) == \E item \in {out[i] : i \in DOMAIN out} : item[1] = Owner[t] /\ IsAbout(item[2], t)
Asks(p, message) == [t \in Tasks |-> IF /\ p = Owner[t] /\ message[1] = "TaskCancel" /\ message[2] = t
                                         /\ told[t] = <<>> THEN message[3] ELSE "nothing"]
NobodyAsks == [t \in Tasks |-> "nothing"]
Rounds(asks, reaction) ==
    asked' = [t \in Tasks |-> IF Answered(t, reaction.out) \/ reaction.s.peer[Owner[t]] # "served" THEN "nothing"
                              ELSE Stronger(asked[t], asks[t])]

CanTake(p) == sch.mode # "closed" /\ sch.owed = {} /\ toScheduler[p] # <<>>
Take(p) ==
    /\ CanTake(p)
    /\ LET message == Head(toScheduler[p])
           reaction == OnMessage(sch, p, message)
       IN  React(reaction) /\ Rounds(Asks(p, message), reaction)
    /\ toScheduler' = [toScheduler EXCEPT ![p] = Tail(@)]
    /\ UNCHANGED left

Decide(reaction) == React(reaction) /\ Rounds(NobodyAsks, reaction) /\ UNCHANGED toScheduler

Place(t, w) == MayDispatch(sch, t, w) /\ Decide(Dispatch(sch, t, w)) /\ UNCHANGED left
SendEcho(p) == p \in sch.owed /\ EchoIsDue(sch) /\ Decide(Echo(sch, p)) /\ UNCHANGED left
Move(t) == sch.mode = "open" /\ Spend("moves") /\ Rebalance(sch, t).out # <<>> /\ Decide(Rebalance(sch, t))
\* S9.1: whoever is gone falls silent, and is lost in the end; others may be thought so: "silence" below.
CanMiss(p) ==
    sch.mode # "closed" /\ sch.peer[p] = "served" /\ (life[p] = "gone" \/ line[p] = "cut") /\ toScheduler[p] = <<>>
Miss(p) == CanMiss(p) /\ Decide(LoseSilent(sch, p)) /\ UNCHANGED left
ShutDown == sch.mode = "open" /\ Spend("closes") /\ Decide(BeginToClose(sch))
GraceOver == sch.mode = "closing" /\ Decide(EndOfGrace(sch)) /\ UNCHANGED left

------------------------------------------------------------------------------
(* A client. *)

Kinds == {"cancel", "cancel, force"}
ClientRows == ClientTable
ClientStep == TLCEval(ByStateAndEvent(ClientRows))
Settled == {"finished", "cancelled"}

Sent(p, messages) ==
    toScheduler' = [toScheduler EXCEPT ![p] = IF line[p] = "open" THEN @ \o messages ELSE @]

\* What the rows of the client's table make it send.
Requests(row, t) == CASE row[4] = "TaskCancel" -> << <<"TaskCancel", t, "cancel">> >>
                      [] row[4] = "TaskCancel, force" -> << <<"TaskCancel", t, "cancel, force">> >>
                      [] OTHER -> <<>>

\* C6.3: whoever asked for more than was refused asks again, with force.
OfFuture(c, t, event) ==
    LET key == <<future[t], event>>
        known == key \in DOMAIN ClientStep
        row == Used("client", ClientStep[key])
        again == known /\ row[4] = "round ends: refused" /\ t \in eager
        second == Used("client", ClientStep[<<"running", "cancel, force">>])
    IN  IF ~known THEN UNCHANGED <<toScheduler, futures>>                                              \* C9.1
        ELSE /\ future' = [future EXCEPT ![t] = IF again THEN second[3] ELSE row[3]]
             /\ Sent(c, IF again THEN Requests(second, t) ELSE Requests(row, t))
             /\ eager' = IF row[4] = "join the round" /\ event = "cancel, force" THEN eager \cup {t}
                         ELSE IF row[4] = "join the round" THEN eager ELSE eager \ {t}
             /\ wanted' = [wanted EXCEPT ![t] = IF future'[t] # "canceling" THEN "nothing"
                                               ELSE IF event \in Kinds THEN Stronger(@, event) ELSE @]

\* C10.1, C10.2: every future that is not settled is cancelled, and every round ends.
Disconnected(c) == [t \in Tasks |-> IF Owner[t] = c /\ <<future[t], "disconnect">> \in DOMAIN ClientStep
                                    THEN Used("client", ClientStep[<<future[t], "disconnect">>])[3] ELSE future[t]]
ClientGone(c, messages) ==
    /\ future' = Disconnected(c)
    /\ eager' = eager \ {t \in Tasks : Owner[t] = c}
    /\ wanted' = [t \in Tasks |-> IF Owner[t] = c THEN "nothing" ELSE wanted[t]]
    /\ life' = [life EXCEPT ![c] = "gone"]
    /\ Sent(c, messages)
    /\ line' = [line EXCEPT ![c] = IF @ = "open" THEN "closed" ELSE @]
    /\ toPeer' = [toPeer EXCEPT ![c] = <<>>]
    /\ UNCHANGED <<sch, assignment, told, asked>>

Read(p) == toPeer' = [toPeer EXCEPT ![p] = Tail(@)]

CanRead(p) == life[p] \in {"up", "exit", "rejoin"} /\ toPeer[p] # <<>>
ClientReads(c) ==
    /\ CanRead(c)
    /\ LET message == Head(toPeer[c])
       IN  CASE message[1] = "ClientDisconnect" -> ClientGone(c, <<>>)                                         \* C10.2
             [] message[1] \in {"TaskCancelConfirm", "TaskResult"} /\ Owner[message[2]] = c
                  -> /\ OfFuture(c, message[2], IF message[1] = "TaskResult" THEN "result" ELSE message[3])
                     /\ Read(c) /\ UNCHANGED <<sch, line, life, assignment, told, asked>>
             [] OTHER -> Read(c) /\ UNCHANGED <<sch, toScheduler, line, life, futures, assignment, told, asked>>
    /\ UNCHANGED left

CanSubmit(t) == future[t] = "new" /\ life[Owner[t]] = "up"
Submit(t) ==
    /\ CanSubmit(t) /\ future' = [future EXCEPT ![t] = "running"] /\ Sent(Owner[t], << <<"Task", t>> >>)
    /\ UNCHANGED <<sch, toPeer, line, life, eager, wanted, assignment, told, asked, left>>

Cancel(t, event) ==                                                                                             \* C1.1
    /\ life[Owner[t]] = "up" /\ future[t] \notin Settled \cup {"new"} /\ Spend("cancels")                      \* C6.1
    /\ OfFuture(Owner[t], t, event) /\ UNCHANGED <<sch, toPeer, line, life, assignment, told, asked>>

\* A TaskCancel that no client of this protocol sends and each scheduler has to bear: for another's task (S2.2, S11.1),
\* or while the owner's round is open (S6.1, S6.2: C6.2 keeps clients from it).
Intrude(c, t, event) ==
    /\ life[c] = "up" /\ (c = Owner[t] => future[t] # "new") /\ Spend("intrusions") /\ Sent(c, << <<"TaskCancel", t, event>> >>)
    /\ UNCHANGED <<sch, toPeer, line, life, futures, assignment, told, asked>>

------------------------------------------------------------------------------
(* A worker. *)

WorkerRows == WorkerTable
WorkerStep == TLCEval(ByStateAndEvent(WorkerRows))
At(w, states) == {t \in Tasks : assignment[w][t] \in states}

Answers(row, t) ==
    CASE row[4] = "TaskResult" -> << <<"TaskResult", t, "success">> >>
      [] row[4] = "TaskResult, failedWorkerDied" -> << <<"TaskResult", t, "failedWorkerDied">> >>
      [] row[4] = "TaskCancelConfirm, canceled" -> << <<"TaskCancelConfirm", t, "canceled">> >>
      [] row[4] = "TaskCancelConfirm, cancelFailed" -> << <<"TaskCancelConfirm", t, "cancelFailed">> >>
      [] OTHER -> <<>>

OfAssignment(w, t, event) ==
    LET key == <<assignment[w][t], event>>
    IN  IF key \notin DOMAIN WorkerStep THEN UNCHANGED <<toScheduler, assignment>>
        ELSE LET row == Used("worker", WorkerStep[key])
             IN  /\ assignment' = [assignment EXCEPT ![w][t] = IF row[3] = "ended" THEN "none" ELSE row[3]]
                 /\ Sent(w, Answers(row, t))

\* W4.2, W4.3: it starts nothing more and ends what runs. The good-bye, if any, is said when all has ended.
Leaving(w, farewell) ==
    IF life[w] # "up" THEN UNCHANGED <<life, assignment>>
    ELSE /\ life' = [life EXCEPT ![w] = farewell]
         /\ assignment' = [assignment EXCEPT ![w] = [t \in Tasks |->
                LET key == <<assignment[w][t], "leave">>
                    row == Used("worker", WorkerStep[key])
                IN  IF key \notin DOMAIN WorkerStep THEN assignment[w][t]
                    ELSE IF row[3] = "ended" THEN "none" ELSE row[3]]]

Accepts(w, t) == life[w] = "up" /\ assignment[w][t] = "none"                                             \* W1.3, W4.1
WorkerReads(w) ==
    /\ CanRead(w) /\ Read(w)
    /\ LET message == Head(toPeer[w])
           t == message[2]
       IN  CASE message[1] = "Task" ->
                  /\ assignment' = [assignment EXCEPT ![w][t] = IF Accepts(w, t) THEN "queued" ELSE @]
                  /\ UNCHANGED <<toScheduler, life>>
             [] message[1] = "TaskCancel" /\ assignment[w][t] = "none" ->                                       \* W2.4
                  Sent(w, << <<"TaskCancelConfirm", t, "cancelNotFound">> >>) /\ UNCHANGED <<life, assignment>>
             [] message[1] = "TaskCancel" /\ assignment[w][t] # "none" ->
                  OfAssignment(w, t, message[3]) /\ UNCHANGED life
             [] message[1] = "ClientDisconnect" ->
                  Leaving(w, IF message[2] = "shutdown" THEN "exit" ELSE "rejoin") /\ UNCHANGED toScheduler
             [] OTHER -> UNCHANGED <<toScheduler, life, assignment>>
    /\ UNCHANGED <<sch, line, futures, told, asked, left>>

OfItself(w, t, event) ==
    OfAssignment(w, t, event) /\ UNCHANGED <<sch, toPeer, line, life, futures, told, asked>>
CanStart(w, t) ==
    life[w] = "up" /\ assignment[w][t] = "queued" /\ Cardinality(At(w, {"running", "ending"})) < Slots
Start(w, t) == CanStart(w, t) /\ OfItself(w, t, "start") /\ UNCHANGED left
Finish(w, t) == assignment[w][t] = "running" /\ OfItself(w, t, "finished") /\ UNCHANGED left
\* W2.2: the process that was told to end has ended.
CanEnd(w, t) == assignment[w][t] \in {"ending", "leaving"}
Ended(w, t) == CanEnd(w, t) /\ OfItself(w, t, "process ended") /\ UNCHANGED left

WorkerGone(w, messages) ==
    /\ life' = [life EXCEPT ![w] = "gone"]
    /\ Sent(w, messages)
    /\ line' = [line EXCEPT ![w] = IF @ = "open" THEN "closed" ELSE @]
    /\ toPeer' = [toPeer EXCEPT ![w] = <<>>]
    /\ assignment' = [assignment EXCEPT ![w] = [t \in Tasks |-> "none"]]
    /\ UNCHANGED <<sch, futures, told, asked>>
Farewell(w) == IF life[w] = "exit" THEN << <<"WorkerDisconnectNotification">> >> ELSE <<>>                 \* W4.2, W4.3
CanLeave(w) == life[w] \in {"exit", "rejoin"} /\ \A t \in Tasks : assignment[w][t] = "none"
Leave(w) ==
    /\ CanLeave(w)
    /\ WorkerGone(w, Farewell(w)) /\ UNCHANGED left

\* W5.1: first of all a heartbeat. One that comes back, comes back under another id, as this one.
CanJoin(w) == life[w] = "off"
Join(w) ==
    /\ CanJoin(w) /\ life' = [life EXCEPT ![w] = "up"] /\ Sent(w, << <<"WorkerHeartbeat">> >>)
    /\ UNCHANGED <<sch, toPeer, line, futures, assignment, told, asked, left>>

------------------------------------------------------------------------------
(* Heartbeats of peers that are there. Only those are steps that somebody learns from: a fence (S10.2), bounded by   *)
(* the budget, and those of a peer that is lost and does not know it (S9.6, S9.8).                                   *)

Heartbeat(p) == Sent(p, << IF p \in Clients THEN <<"ClientHeartbeat">> ELSE <<"WorkerHeartbeat">> >>)
                /\ UNCHANGED <<sch, toPeer, line, life, futures, assignment, told, asked>>
Fence(p) == life[p] = "up" /\ Spend("beats") /\ Heartbeat(p)
CanLearn(p) == life[p] = "up" /\ line[p] = "open" /\ sch.peer[p] \in {"lost", "told"}
               /\ sch.mode # "closed" /\ toScheduler[p] = <<>> /\ toPeer[p] = <<>>
LearnOfLoss(p) == CanLearn(p) /\ Heartbeat(p) /\ UNCHANGED left

\* T4, C10.2, W5.2, W5.3: the connection has dropped, or the scheduler has exited.
CanNotice(p) == life[p] = "up" /\ (line[p] = "cut" \/ (sch.mode = "closed" /\ toPeer[p] = <<>>))
Notice(p) ==
    /\ CanNotice(p)
    /\ IF p \in Clients THEN ClientGone(p, <<>>)
       ELSE Leaving(p, "rejoin") /\ UNCHANGED <<sch, toScheduler, toPeer, line, futures, told, asked>>
    /\ UNCHANGED left

(* What goes wrong. Who is silent need not be dead; who is gone may be missed before the last of its messages has come.  *)
Fails(fault, p) ==
    /\ fault \in Faults /\ life[p] \notin (IF fault = "silence" THEN {"off"} ELSE {"off", "gone"}) /\ Spend("failures")
    /\ CASE fault = "silence" -> sch.peer[p] = "served" /\ sch.mode # "closed" /\ Decide(LoseSilent(sch, p))
         [] fault = "death" -> IF p \in Clients THEN ClientGone(p, <<>>) ELSE WorkerGone(p, <<>>)
         [] fault = "departure" /\ p \in Clients -> ClientGone(p, << <<"ClientDisconnect", "disconnect">> >>)
         [] fault = "departure" /\ p \in Workers -> /\ life[p] = "up" /\ Leaving(p, "exit")
                                                    /\ UNCHANGED <<sch, toScheduler, toPeer, line, futures, told, asked>>
         \* T4: what had arrived is there still, even when the peer has come back under another id.
         [] fault = "cut" -> /\ line[p] = "open" /\ line' = [line EXCEPT ![p] = "cut"]
                             /\ \E n \in 0..Len(toScheduler[p]) : toScheduler' = [toScheduler EXCEPT ![p] = SubSeq(@, 1, n)]
                             /\ toPeer' = [toPeer EXCEPT ![p] = <<>>]
                             /\ UNCHANGED <<sch, life, futures, assignment, told, asked>>
         [] fault = "crash" -> p \in Workers /\ \E t \in At(p, {"running"}) : OfItself(p, t, "process ended")    \* W3.1
         [] fault = "time limit" -> /\ \E t \in Tasks : Owner[t] = p /\ future[t] = "canceling" /\ OfFuture(p, t, "time limit")
                                    /\ UNCHANGED <<sch, toPeer, line, life, assignment, told, asked>>            \* C5.1
    /\ Used("fault", <<fault, IF p \in Clients THEN "client" ELSE "worker">>) # <<>>

------------------------------------------------------------------------------
\* What must happen in the end, if it can. Whether tasks end is another matter.
Must ==
    \/ \E p \in Peers : Take(p) \/ SendEcho(p) \/ Miss(p) \/ LearnOfLoss(p) \/ Notice(p)
    \/ \E t \in Tasks : Submit(t)
    \/ \E c \in Clients : ClientReads(c)
    \/ \E w \in Workers : WorkerReads(w) \/ Leave(w) \/ Join(w)
    \/ \E w \in Workers, t \in Tasks : Place(t, w) \/ Start(w, t) \/ Ended(w, t)
    \/ GraceOver
TaskEnds == \E w \in Workers, t \in Tasks : Finish(w, t)

\* What may happen: nobody has to cancel, to fail, to move a task, or to shut down.
May ==
    \/ \E t \in Tasks, event \in Kinds : Cancel(t, event)
    \/ \E c \in Clients, t \in Tasks, event \in Kinds : Intrude(c, t, event)
    \/ \E t \in Tasks : Move(t)
    \/ \E p \in Peers : Fence(p)
    \/ \E fault \in Faults, p \in Peers : Fails(fault, p)
    \/ ShutDown

Next == Must \/ TaskEnds \/ May
Safe == Init /\ [][Next]_vars

\* Whether something must happen, and whether tasks run: the same as ENABLED <<Must>>_vars and ENABLED <<TaskEnds>>_vars
\* (RestIsMeantSo), which take TLC many times as long.
Due ==
    \/ \E p \in Peers : CanTake(p) \/ CanMiss(p) \/ CanLearn(p) \/ CanNotice(p) \/ CanRead(p)
    \/ sch.owed # {} \/ sch.mode = "closing" \/ \E t \in Tasks : CanSubmit(t)
    \/ \E w \in Workers : CanLeave(w) \/ CanJoin(w)
                          \/ \E t \in Tasks : MayDispatch(sch, t, w) \/ CanStart(w, t) \/ CanEnd(w, t)
Runs == \E w \in Workers, t \in Tasks : assignment[w][t] = "running"

\* One condition of fairness for everything that must happen is enough: nothing is done for ever (ComesToRest), so
\* that it says that the system comes to rest nowhere but where nothing more must happen. The first is WF_vars(Must \/
\* TaskEnds), the second WF_vars(Must), with Due and Runs for what is enabled.
Spec == Safe /\ ([]<>(~Due /\ ~Runs) \/ []<><<Must \/ TaskEnds>>_vars)
EndlessTasks == Safe /\ ([]<>~Due \/ []<><<Must>>_vars)     \* a task may run for ever: its cancel is answered all the same
=============================================================================
