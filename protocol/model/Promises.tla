------------------------------- MODULE Promises -------------------------------
(* What SPEC.md promises of the whole, in terms of what the parties see of one another: the variables `told` and     *)
(* `asked` follow the messages, not the tables, so that a row that is wrong cannot excuse itself.                    *)
EXTENDS Cancellation

Count(messages, Matches(_)) == Len(SelectSeq(messages, Matches))
Taken(p) == toScheduler[p] # <<>> /\ toScheduler'[p] = Tail(toScheduler[p]) /\ line'[p] = line[p]
Served(p) == sch.peer[p] = "served"

(* Invariants *)

\* S1.1, S1.2: no second terminal message, no result after `canceled`.
OneTerminalMessage == \A t \in Tasks : Len(told[t]) <= 1

\* S4.4, W2.1, W2.2: once its owner is told that nothing runs, nothing does, nor will. Beyond the grace of a shutdown
\* (S9.10) and the loss of its owner (S9.11) nobody claims that.
NothingRunsAfterCanceled ==
    \A t \in Tasks, w \in Workers :
        told[t] # <<>> /\ told[t][1][1] = "TaskCancelConfirm" /\ sch.mode # "closed" /\ Served(Owner[t]) /\ Served(w)
        => assignment[w][t] = "none" /\ Count(toPeer[w], LAMBDA message : message = <<"Task", t>>) = 0

\* S8.2, S7.3, S9.3: at one worker at a time, those aside that were lost and may not know it.
RunsAtOneWorker ==
    \A t \in Tasks : Cardinality({w \in Workers : Served(w) /\ assignment[w][t] \in {"running", "ending", "leaving"}}) <= 1

\* S8.2: as the worker counts, not the scheduler.
CapacityIsKept ==
    \A w \in Workers : Served(w) /\ life[w] = "up" =>
        Cardinality(At(w, {"queued", "running", "ending"})) + Count(toPeer[w], LAMBDA m : m[1] = "Task") <= QueueSize

\* S6.1, S6.3, S7.7, W1.2: answers carry no number, so that the scheduler has to know how many are to come.
Unanswered(w, t) ==
    Count(toPeer[w], LAMBDA m : m[1] = "TaskCancel" /\ m[2] = t)
    + Count(toScheduler[w], LAMBDA m : m[1] = "TaskCancelConfirm" /\ m[2] = t)
    + IF assignment[w][t] = "ending" THEN 1 ELSE 0
AnswersAreCounted ==
    \A t \in Tasks : LET holder == sch.task[t].holder
                         state == sch.task[t].state
                     IN  holder # Nobody => Unanswered(holder, t) <= CASE state = "dispatched" -> 0
                                                                       [] state \in {"escalated", "abandoned"} -> 2
                                                                       [] OTHER -> 1

(* Promises about steps *)

\* S7.8, S1.2, S9.2, S9.7
NothingDispatchedWhileCanceling ==
    [][\A t \in Tasks : sch.task[t].holder = Nobody /\ sch'.task[t].holder # Nobody
                        => t \notin asked /\ told[t] = <<>> /\ Served(Owner[t])]_vars

\* S8.1
OnlyTheHolderAnswers ==
    [][\A w \in Workers : LET message == Head(toScheduler[w])
                          IN  Taken(w) /\ message[1] \in {"TaskResult", "TaskCancelConfirm"}
                              /\ sch.task[message[2]].holder # w => UNCHANGED <<sch, toPeer, told>>]_vars

\* S2.2, S11.1
OnlyTheOwnerCancels ==
    [][\A c \in Clients : LET message == Head(toScheduler[c])
                          IN  Taken(c) /\ message[1] = "TaskCancel" /\ Owner[message[2]] # c
                              => UNCHANGED <<sch, told>> /\ \A p \in Peers \ {c} : toPeer'[p] = toPeer[p]]_vars

\* S9.6, S9.8
LostStaysLost == [][\A p \in Peers : sch.peer[p] \in {"lost", "told"} => sch'.peer[p] \in {"lost", "told"}]_vars

\* S10.2: as an echo is sent, no task waits for a worker that has room.
TheEchoIsAFence ==
    [][(\E p \in Peers : Served(p) /\ p \in sch.owed /\ p \notin sch'.owed /\ sch'.peer[p] = "served")
       => sch.mode # "open" \/ (\A t \in Tasks : sch.task[t].state # "queued")
          \/ \A w \in Workers : Served(w) => Cardinality(HeldBy(sch, w)) >= QueueSize]_vars

\* C3.1: once cancel() was called and not refused, the caller never sees a result.
NoResultOnceCanceling == [][\A t \in Tasks : future[t] # "finished" /\ future'[t] = "finished" => future[t] = "running"]_vars

\* C8.1
SettledOnce == [][\A t \in Tasks : future[t] \in Settled => future'[t] = future[t]]_vars

(* What must happen in the end: nothing goes on for ever, and at rest nobody waits. Together that is liveness under   *)
(* the fairness of Cancellation.tla; temporal.cfg checks the same as temporal formulas, where the model is small.    *)

ComesToRest == <>[][FALSE]_vars
AtRest == ~Due /\ ~Runs

\* C1.1, without the help of the time limit, and also while tasks run that never end (S4.2).
EachCancelIsAnswered == ~Due => \A t \in Tasks : future[t] # "canceling"
\* S1.1, C10.2
EachFutureSettles == AtRest => \A t \in Tasks : future[t] \in Settled \cup {"new"}
\* S9.9: no place stays taken, and no worker keeps what the scheduler has forgotten.
CapacityComesBack == AtRest => \A t \in Tasks, w \in Workers : sch.task[t].holder = Nobody /\ assignment[w][t] = "none"

EachCancelIsAnsweredInTime == \A t \in Tasks : future[t] = "canceling" ~> future[t] # "canceling"
EachFutureSettlesInTime == \A t \in Tasks : future[t] \in {"running", "canceling"} ~> future[t] \in Settled
CapacityComesBackInTime == <>[](\A t \in Tasks, w \in Workers : sch.task[t].holder # w /\ assignment[w][t] = "none")
RestIsMeantSo == (Due <=> ENABLED Must) /\ (Runs <=> ENABLED TaskEnds)

(* Who owns what, for the configurations. *)
OneOwner == [t \in Tasks |-> CHOOSE c \in Clients : TRUE]
EachItsOwn == LET Pairs == CHOOSE f \in [Tasks -> Clients] : \A t, u \in Tasks : t # u => f[t] # f[u] IN Pairs
=============================================================================
