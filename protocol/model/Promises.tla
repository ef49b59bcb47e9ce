------------------------------- MODULE Promises -------------------------------
(* What SPEC.md promises of the whole, in terms of what the parties see of one another: the variables `told`,        *)
(* `asked` and `wanted` follow the messages and calls, not the tables, so that a row that is wrong cannot excuse     *)
(* itself.                                                                                                           *)
EXTENDS Cancellation

Count(messages, Matches(_)) == Len(SelectSeq(messages, Matches))
Served(p) == sch.peer[p] = "served"

\* What happens in a step: the scheduler takes a message, a peer reads one; what is added to a queue. TLC looks at every
\* promise in every step, so each asks first what is cheap to know and mostly excuses it: which message is the next.
Takes(p) == toScheduler[p] # <<>> /\ toScheduler'[p] = Tail(toScheduler[p]) /\ line'[p] = line[p]
Reads(p) == toPeer[p] # <<>> /\ toPeer'[p] = Tail(toPeer[p]) /\ life'[p] # "gone"
Added(before, after) == IF Len(after) > Len(before) THEN SubSeq(after, Len(before) + 1, Len(after)) ELSE <<>>
IsIn(message, messages) == \E i \in DOMAIN messages : messages[i] = message
NextIn(queue) == IF queue = <<>> THEN <<"nothing">> ELSE Head(queue)
Coming(p) == NextIn(toScheduler[p])
TakesFrom(p, message) == toScheduler[p] # <<>> /\ Head(toScheduler[p]) = message /\ Takes(p)
ReadsNow(p, message) == toPeer[p] # <<>> /\ Head(toPeer[p]) = message /\ Reads(p)
Hears(p) == Added(toPeer[p], toPeer'[p])
IsLost(p) == Served(p) /\ sch'.peer[p] # "served"

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

\* S9.4: a task that was lost with so many workers is not given to another one.
LossesHaveAnEnd ==
    \A t \in Tasks : sch.task[t].losses >= MaxLosses => sch.task[t].state = "ended"

\* S8.2, S9.7: a place counts as used until the worker's last word about the task.
PlacesAreKeptToTheEnd ==
    \A w \in Workers, t \in Tasks :
        Served(w) /\ life[w] = "up" /\ sch.mode # "closed" /\ assignment[w][t] # "none" => sch.task[t].holder = w

\* S9.10: what no worker holds is not kept waiting for the end of the grace.
NothingWaitsInAShutdown == sch.mode # "open" => \A t \in Tasks : sch.task[t].state # "queued"

(* Promises about steps: the scheduler *)

\* S7.8, S1.2, S9.2, S9.7
NothingDispatchedWhileCanceling ==
    [][\A t \in Tasks : sch.task[t].holder = Nobody /\ sch'.task[t].holder # Nobody
                        => asked[t] = "nothing" /\ told[t] = <<>> /\ Served(Owner[t])]_vars

\* S8.1
OnlyTheHolderAnswers ==
    [][\A w \in Workers : LET message == Coming(w)
                          IN  message[1] \in {"TaskResult", "TaskCancelConfirm"} /\ sch.task[message[2]].holder # w
                              /\ Takes(w) => UNCHANGED <<sch, toPeer, told>>]_vars

\* S2.2, S11.1
OnlyTheOwnerCancels ==
    [][\A c \in Clients : LET message == Coming(c)
                          IN  message[1] = "TaskCancel" /\ Owner[message[2]] # c /\ Takes(c)
                              => UNCHANGED <<sch, told>> /\ \A p \in Peers \ {c} : toPeer'[p] = toPeer[p]]_vars

\* S1.3, S9.8, S9.10: a Task is held, or refused at once.
TasksAreHeldOrRefused ==
    [][\A t \in Tasks : LET c == Owner[t]
                        IN  TakesFrom(c, <<"Task", t>>) => IF sch.mode = "open" /\ sch.peer[c] # "lost"
                                                           THEN sch'.task[t].state = "queued" /\ told'[t] = <<>>
                                                           ELSE told'[t] = << <<"TaskCancelConfirm", t, "cancelNotFound">> >>]_vars

\* S5.1, S7.4, S4.3: work that is done is not lost, whatever round is open.
ResultsReachTheOwner ==
    [][\A w \in Workers : LET message == Coming(w)
                              t == message[2]
                          IN  message[1] = "TaskResult" /\ Served(w) /\ Served(Owner[t]) /\ told[t] = <<>> /\ Takes(w)
                              => told'[t] = <<message>>]_vars

\* S4.2: so is the holder's answer to an owner's cancel, as it came.
AnswersReachTheOwner ==
    [][\A w \in Workers : LET message == Coming(w)
                              t == message[2]
                          IN  message[1] = "TaskCancelConfirm" /\ message[3] \in {"canceled", "cancelNotFound"}
                              /\ sch.task[t].holder = w /\ asked[t] # "nothing" /\ Takes(w)
                              => told'[t] = <<message>>]_vars

\* S2.1, S2.2, S9.8: whoever asks for what is not held for him is told so.
NobodyWaitsForWhatIsNotHeld ==
    [][\A c \in Clients : LET message == Coming(c)
                              t == message[2]
                          IN  message[1] = "TaskCancel" /\ line[c] = "open"
                              /\ (c # Owner[t] \/ told[t] # <<>> \/ sch.peer[c] = "lost") /\ Takes(c)
                              => Hears(c) = << <<"TaskCancelConfirm", t, "cancelNotFound">> >>]_vars

\* S2.2, S2.4: and nobody else hears of a task.
NobodyElseHears ==
    [][\A c \in Clients : LET heard == Hears(c)
                          IN  heard # <<>> => \A t \in Tasks, i \in DOMAIN heard :
                                  c # Owner[t] /\ IsAbout(heard[i], t)
                                  => \E event \in Kinds : TakesFrom(c, <<"TaskCancel", t, event>>)]_vars

\* S3.1: what no worker holds is canceled at once.
WhatWaitsIsCanceledAtOnce ==
    [][\A c \in Clients : LET message == Coming(c)
                              t == message[2]
                          IN  message[1] = "TaskCancel" /\ Owner[t] = c /\ Held(sch, t) /\ told[t] = <<>> /\ Served(c)
                              /\ sch.task[t].holder = Nobody /\ Takes(c)
                              => told'[t] = << <<"TaskCancelConfirm", t, "canceled">> >>]_vars

\* S9.2, S9.3, S9.4: whose cancel was open is told `canceled`, and another that the task failed after so many losses only.
LossesAreCounted ==
    [][\A t \in Tasks, w \in Workers :
        sch.task[t].holder = w /\ IsLost(w) =>
            /\ sch'.task[t].losses = sch.task[t].losses + 1
            /\ Served(Owner[t]) /\ asked[t] # "nothing" => told'[t] = << <<"TaskCancelConfirm", t, "canceled">> >>
            /\ IsIn(<<"TaskResult", t, "failedWorkerDied">>, told'[t]) => sch'.task[t].losses >= MaxLosses]_vars

\* S4.2, S4.4, S7.2, S9.2, S9.3, S9.10, S9.11: what an owner is told has happened, and was asked for.
IsAsked(t) == asked[t] # "nothing" \/ \E event \in Kinds : TakesFrom(Owner[t], <<"TaskCancel", t, event>>)
IsSo(t, answer) ==
    CASE answer[1] = "TaskResult" -> \/ \E w \in Workers : TakesFrom(w, answer)
                                     \/ answer[3] = "failedWorkerDied" /\ \E w \in Workers : IsLost(w)
      [] answer[3] = "canceled" -> IsAsked(t) \/ sch'.mode # "open"
      [] answer[3] = "cancelNotFound" -> IsAsked(t) \/ IsLost(Owner[t]) \/ TakesFrom(Owner[t], <<"Task", t>>)
      [] answer[3] = "cancelFailed" -> asked[t] = "cancel" /\ \E w \in Workers : TakesFrom(w, answer)
OwnersHearWhatIsSo ==
    [][\A t \in Tasks :
        /\ told'[t] # told[t] => IsSo(t, told'[t][Len(told'[t])])
        /\ LET refusal == <<"TaskCancelConfirm", t, "cancelFailed">>
           IN  IsIn(refusal, Hears(Owner[t])) => IsSo(t, refusal)]_vars

\* S4.1, S7.1, S7.7, S9.7: a TaskCancel goes to the holder, for a reason, and with the force that the reason has.
EachTaskCancelHasAReason ==
    [][\A w \in Workers : LET heard == Hears(w)
                          IN  heard # <<>> => \A t \in Tasks, event \in Kinds :
        IsIn(<<"TaskCancel", t, event>>, heard) =>
            /\ sch.task[t].holder = w
            /\ \/ TakesFrom(Owner[t], <<"TaskCancel", t, event>>)
               \/ IsLost(Owner[t]) /\ event = "cancel, force"
               \/ left'.moves < left.moves /\ event = "cancel" /\ asked[t] = "nothing"
            \* S6.1, S6.2, S7.6: nor is one passed on where such a one is with the holder already.
            /\ Count(heard, LAMBDA m : m = <<"TaskCancel", t, event>>) = 1 /\ asked[t] # "cancel, force"
            /\ event = "cancel" => asked[t] = "nothing" /\ Unanswered(w, t) = 0]_vars

\* S9.11
SilentOwnersAreTold ==
    [][\A t \in Tasks : Held(sch, t) /\ IsLost(Owner[t]) /\ ~Takes(Owner[t]) => told'[t] # <<>>]_vars

\* S9.7: whoever said good-bye is told nothing more.
NobodyWhoLeftIsTold ==
    [][\A t \in Tasks : TakesFrom(Owner[t], <<"ClientDisconnect", "disconnect">>) => told'[t] = told[t]]_vars

\* S9.6, S9.8, S10.1: a heartbeat is answered; that of one that was lost, so that it learns it.
HeartbeatsAreAnswered ==
    [][\A p \in Peers : Coming(p)[1] \in {"ClientHeartbeat", "WorkerHeartbeat"} /\ line[p] = "open" /\ Takes(p)
        => IF sch.peer[p] = "lost" THEN Hears(p) = << <<"ClientDisconnect", "disconnect">> >>
           ELSE p \in sch'.owed \/ Hears(p) # <<>>]_vars

\* S4.4, S9.10: what workers hold has a grace.
ThereIsAGrace == [][sch.mode = "open" => sch'.mode # "closed"]_vars

\* S9.10
WorkersAreSentHome ==
    [][\A w \in Workers :
        /\ line[w] = "open"
        /\ \/ Served(w) /\ sch.mode = "open" /\ sch'.mode = "closing"
           \/ sch.peer[w] = "new" /\ sch.mode # "open" /\ TakesFrom(w, <<"WorkerHeartbeat">>)
        => IsIn(<<"ClientDisconnect", "shutdown">>, Hears(w))]_vars

\* S9.6, S9.8
LostStaysLost == [][\A p \in Peers : sch.peer[p] \in {"lost", "told"} => sch'.peer[p] \in {"lost", "told"}]_vars

\* S10.2: as an echo is sent, no task waits for a worker that has room.
TheEchoIsAFence ==
    [][(\E p \in sch.owed : Served(p) /\ p \notin sch'.owed /\ sch'.peer[p] = "served")
       => sch.mode # "open" \/ (\A t \in Tasks : sch.task[t].state # "queued")
          \/ \A w \in Workers : Served(w) => Cardinality(HeldBy(sch, w)) >= QueueSize]_vars

(* Promises about steps: workers and clients *)

\* S4.1, S7.1, W2.3: what runs is ended where its owner has asked so or is lost, and for no other reason.
OnlyForceEndsWork ==
    [][\A w \in Workers, t \in Tasks :
        assignment[w][t] = "running" /\ assignment'[w][t] \in {"ending", "leaving"}
        /\ life'[w] = "up" /\ Served(w) /\ sch.mode # "closed"
        => asked[t] = "cancel, force" \/ ~Served(Owner[t])]_vars

\* W1.1, W1.2, W2.1 to W2.4, W3.1, W4.2: a worker says what has become of each task, and answers each TaskCancel.
Became(w, t) == <<assignment[w][t], assignment'[w][t]>>
MayBecome(w, t, said) ==
    CASE said = <<>> -> \/ assignment'[w][t] # "none" \/ life'[w] # "up"
                        \/ assignment[w][t] \notin {"queued", "running", "ending"}
      [] said[1] = "TaskResult" -> Became(w, t) = <<"running", "none">> /\ life[w] = "up"
      [] said[3] = "canceled" -> Became(w, t) \in {"queued", "ending"} \X {"none"} /\ life[w] = "up"
      [] said[3] = "cancelFailed" -> /\ Became(w, t) = <<"running", "running">>
                                     /\ ReadsNow(w, <<"TaskCancel", t, "cancel">>)
      [] said[3] = "cancelNotFound" -> Became(w, t) = <<"none", "none">>
WorkersSayWhatTheyDo ==
    [][\A w \in Workers :
        life[w] \notin {"off", "gone"} /\ line[w] = "open" /\ line'[w] = "open" =>
            LET said == Added(toScheduler[w], toScheduler'[w])
                next == NextIn(toPeer[w])
                asks == next[1] = "TaskCancel" /\ Reads(w)
            IN  \A t \in Tasks :
                    LET about == IF said = <<>> THEN <<>> ELSE SelectSeq(said, LAMBDA m : IsAbout(m, t))
                    IN  /\ Len(about) <= 1 /\ MayBecome(w, t, IF about = <<>> THEN <<>> ELSE about[1])
                        /\ asks /\ next[2] = t /\ about = <<>> => assignment'[w][t] \in {"ending", "leaving"}]_vars

\* W4.1, W4.2: who leaves begins nothing, and says good-bye when nothing runs.
LeavingIsTheEnd ==
    [][\A w \in Workers : life[w] \notin {"up", "off"} =>
        /\ \A t \in Tasks : assignment[w][t] = assignment'[w][t] \/ assignment'[w][t] = "none"
        /\ IsIn(<<"WorkerDisconnectNotification">>, Added(toScheduler[w], toScheduler'[w]))
           => \A t \in Tasks : assignment[w][t] = "none"]_vars

\* W4.2, W4.3: whoever exits says good-bye, and whoever was declared lost does not.
GoodByesAreSaid ==
    [][\A w \in Workers :
        life[w] \in {"exit", "rejoin"} /\ life'[w] = "gone" /\ line[w] = "open" /\ CanLeave(w) /\ left'.failures = left.failures
        => IsIn(<<"WorkerDisconnectNotification">>, Added(toScheduler[w], toScheduler'[w])) = (life[w] = "exit")]_vars

\* C2.1 to C5.1, C9.1, C10.2: a future becomes what its messages say, but for the time limit and the end of the client.
FuturesBecomeWhatIsSaid ==
    [][\A t \in Tasks : LET c == Owner[t]
                            Confirmed(word) == ReadsNow(c, <<"TaskCancelConfirm", t, word>>)
                            HasResult == Reads(c) /\ IsAbout(Head(toPeer[c]), t) /\ Head(toPeer[c])[1] = "TaskResult"
                        IN  future'[t] # future[t] =>
        CASE future'[t] = "cancelled" -> \/ Confirmed("canceled") \/ Confirmed("cancelNotFound")
                                         \/ HasResult /\ future[t] = "canceling"
                                         \/ life'[c] = "gone"
                                         \/ left'.failures < left.failures /\ future[t] = "canceling"
          [] future'[t] = "finished" -> HasResult
          [] future'[t] = "running" -> future[t] = "new" \/ Confirmed("cancelFailed")
          [] OTHER -> TRUE]_vars

\* C1.1, C6.1, C6.2: one TaskCancel opens a round, and whoever joins it sends none. (Intrude is what no client does.)
OneTaskCancelOpensARound ==
    [][\A c \in Clients : LET said == Added(toScheduler[c], toScheduler'[c])
                          IN  said # <<>> => \A t \in Tasks, event \in Kinds :
        Owner[t] = c /\ IsIn(<<"TaskCancel", t, event>>, said) =>
            \/ future'[t] = "canceling" /\ (future[t] = "running" \/ ReadsNow(c, <<"TaskCancelConfirm", t, "cancelFailed">>))
            \/ left'.intrusions < left.intrusions]_vars

\* C1.1, C6.3, S4.1, S6.2: who asks with force is not refused. (C6.2 keeps clients from the TaskCancels of Intrude.)
ForceIsNotRefused ==
    [][\A t \in Tasks : future[t] = "canceling" /\ future'[t] = "running"
                        => wanted[t] = "cancel" \/ left.intrusions < Intrusions]_vars

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
\* S1.1, S9.10
EachTaskIsAnswered ==
    AtRest => \A t \in Tasks : Served(Owner[t]) /\ sch.task[t].state # "new" => Len(told[t]) = 1
\* C10.2
EachFutureSettles == AtRest => \A t \in Tasks : future[t] \in Settled \cup {"new"}
\* S9.9: no place stays taken, and no worker keeps what the scheduler has forgotten.
CapacityComesBack == AtRest => \A t \in Tasks, w \in Workers : sch.task[t].holder = Nobody /\ assignment[w][t] = "none"
\* S9.9
NoTaskWaitsBesideRoom ==
    ~Due /\ sch.mode = "open" => \A t \in Tasks, w \in Workers :
        sch.task[t].state = "queued" /\ Served(w) => Cardinality(HeldBy(sch, w)) >= QueueSize
\* S9.7, S9.6, S1.2: what still runs, somebody waits for.
OnlyWantedWorkRuns ==
    ~Due => \A t \in Tasks, w \in Workers :
        assignment[w][t] = "running" => Served(w) /\ Served(Owner[t]) /\ told[t] = <<>>

EachCancelIsAnsweredInTime == \A t \in Tasks : future[t] = "canceling" ~> future[t] # "canceling"
EachFutureSettlesInTime == \A t \in Tasks : future[t] \in {"running", "canceling"} ~> future[t] \in Settled
CapacityComesBackInTime == <>[](\A t \in Tasks, w \in Workers : sch.task[t].holder # w /\ assignment[w][t] = "none")
RestIsMeantSo == (Due <=> ENABLED <<Must>>_vars) /\ (Runs <=> ENABLED <<TaskEnds>>_vars)

(* Who owns what, for the configurations. *)
OneOwner == [t \in Tasks |-> CHOOSE c \in Clients : TRUE]
EachItsOwn == LET Pairs == CHOOSE f \in [Tasks -> Clients] : \A t, u \in Tasks : t # u => f[t] # f[u] IN Pairs
=============================================================================
