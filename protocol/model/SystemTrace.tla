----------------------------- MODULE SystemTrace -----------------------------
(* Runs of a whole system, held against Cancellation.tla: each step of a run has to be a step of the model, with     *)
(* what the run says came of it. The runs come as a generated module (model/system_validation.py of the suite):      *)
(*                                                                                                                   *)
(* Steps     the different steps, each [do, who, task, word, got, up, down, first, party, after]: the model's action *)
(*           and its arguments; the message that was taken; what was sent to the scheduler, and by it, as            *)
(*           <<to, message>>; which of several tasks came first; the states of the party's tasks afterwards, if told *)
(* Recorded  the runs: the numbers of their steps, and what their scenario says: who takes part (peers), how many    *)
(*           tasks each worker takes (places), with how many workers one may be lost (losses), whether nothing       *)
(*           follows (rests)                                                                                         *)
(*                                                                                                                   *)
(* One state after another is looked at, in which `at` steps of `run` are explained. A run is a behaviour of the     *)
(* model if that comes to its end; otherwise `wrong` says what differs in the first step that nothing explains.      *)
EXTENDS Coverage, RecordedRuns

VARIABLES run, at, wrong
all == <<vars, run, at, wrong>>

\* What differs from run to run.
MayRunAgainInRun(losses) == losses < Recorded[run].losses
RoomInRun(s, w) == s.peer[w] = "served" /\ Cardinality(HeldBy(s, w)) < Recorded[run].places[w]

IsOver == at = Len(Recorded[run].steps)
Current == Steps[Recorded[run].steps[at + 1]]

\* Of several tasks with one fate (S9.5) the model takes any first, and here the one that the run took.
FirstInRun(tasks) ==
    LET rank == Current.first
        Rank(t) == CHOOSE n \in 1..Len(rank) : rank[n] = t
    IN  CHOOSE t \in tasks : \A u \in tasks : Rank(t) <= Rank(u)

------------------------------------------------------------------------------
(* What the model has no action for, since nothing comes of it. *)

\* "Nothing" is a step that says so.
\* A task ends whose process was told to end: a row of the worker's table.
FinishesLate(w, t) == CanEnd(w, t) /\ OfItself(w, t, "finished") /\ UNCHANGED left
\* Whoever was never served, or has gone in order, is not missed.
MissesNobody(p) == sch.peer[p] # "served" /\ UNCHANGED vars
\* One that leaves already, or has not come yet, notices that the connection is gone: it does so all the same.
NoticesInVain(p) == life[p] \in {"off", "exit", "rejoin"} /\ UNCHANGED vars

OfClients == {"ClientReads", "Intrude"}
OfWorkers == {"WorkerReads", "Leave", "Join"}
OfBoth == {"Take", "SendEcho", "Miss", "Fence", "LearnOfLoss", "Notice", "Fails", "MissesNobody", "NoticesInVain"}
OfOwners == {"Submit", "Cancel"}
OfWorkersAndTasks == {"Place", "Start", "Finish", "Ended", "FinishesLate"}
OfTasks == OfOwners \cup OfWorkersAndTasks \cup {"Move", "Intrude"}

\* Whether the arguments are such as the action takes: a run may be any nonsense.
Fits(step) ==
    /\ step.do \in OfClients => step.who \in Clients
    /\ step.do \in OfWorkers \cup OfWorkersAndTasks => step.who \in Workers
    /\ step.do \in OfBoth => step.who \in Peers
    /\ step.do \in OfTasks => step.task \in Tasks
    /\ step.do \in OfOwners => step.who = Owner[step.task]

Do(step) ==
    LET p == step.who
        t == step.task
    IN  CASE step.do = "Take" -> Take(p)
          [] step.do = "Place" -> Place(t, p)
          [] step.do = "SendEcho" -> SendEcho(p)
          [] step.do = "Move" -> Move(t)
          [] step.do = "Miss" -> Miss(p)
          [] step.do = "ShutDown" -> ShutDown
          [] step.do = "GraceOver" -> GraceOver
          [] step.do = "Submit" -> Submit(t)
          [] step.do = "Cancel" -> Cancel(t, step.word)
          [] step.do = "Intrude" -> Intrude(p, t, step.word)
          [] step.do = "ClientReads" -> ClientReads(p)
          [] step.do = "WorkerReads" -> WorkerReads(p)
          [] step.do = "Start" -> Start(p, t)
          [] step.do = "Finish" -> Finish(p, t)
          [] step.do = "Ended" -> Ended(p, t)
          [] step.do = "Leave" -> Leave(p)
          [] step.do = "Join" -> Join(p)
          [] step.do = "Fence" -> Fence(p)
          [] step.do = "LearnOfLoss" -> LearnOfLoss(p)
          [] step.do = "Notice" -> Notice(p)
          [] step.do = "Fails" -> Fails(step.word, p)
          [] step.do = "FinishesLate" -> FinishesLate(p, t)
          [] step.do = "MissesNobody" -> MissesNobody(p)
          [] step.do = "NoticesInVain" -> NoticesInVain(p)
          [] step.do = "Nothing" -> UNCHANGED vars
          [] OTHER -> FALSE

\* Everything that may happen to a run: what is checked to be a step is one of these.
OfTheModel ==
    Next \/ \E p \in Peers : MissesNobody(p) \/ NoticesInVain(p) \/ \E t \in Tasks : p \in Workers /\ FinishesLate(p, t)

------------------------------------------------------------------------------
(* Whether the run tells the same of the step as the model. *)

Unread(p, queue) == IF queue = <<>> THEN <<>> ELSE <<Head(queue)>>
WasTaken(step) ==
    CASE step.do = "Take" -> Unread(step.who, toScheduler[step.who])
      [] step.do \in {"ClientReads", "WorkerReads"} -> Unread(step.who, toPeer[step.who])
      [] OTHER -> <<>>

\* What was appended to a queue from which so many messages were taken.
New(before, after, taken) == SubSeq(after, Len(before) - taken + 1, Len(after))

\* Nobody reads what is sent over a connection that is gone, or to a scheduler that is.
UpOf(step) == IF step.do = "Take" \/ line'[step.who] = "cut" THEN <<>>
              ELSE New(toScheduler[step.who], toScheduler'[step.who], 0)
DownOf(step, p) ==
    IF toPeer'[p] = <<>> THEN <<>>
    ELSE New(toPeer[p], toPeer'[p], IF step.do \in {"ClientReads", "WorkerReads"} /\ step.who = p THEN 1 ELSE 0)

\* A connection that drops loses what was on its way, and in the explorer's system nothing was on its way to the scheduler.
Lost(step) == step.do = "Fails" /\ step.word = "cut" /\ toScheduler' # toScheduler

Difference(what, model, recorded) == IF model = recorded THEN {} ELSE {<<what, model, recorded>>}

OfScheduler(t) == IF Held(sch', t) THEN <<sch'.task[t].state, sch'.task[t].holder>> ELSE <<"none", Nobody>>
After(party, t) ==
    CASE party = "scheduler" -> OfScheduler(t)
      [] party \in Clients -> <<future'[t], Nobody>>
      [] party \in Workers -> <<assignment'[party][t], Nobody>>

Differences(step) ==
    Difference("takes", WasTaken(step), step.got)
    \cup Difference("loses", Lost(step), FALSE)
    \cup (IF sch.mode = "closed" \/ step.who = Nobody THEN {} ELSE Difference("sends", UpOf(step), step.up))
    \cup UNION {Difference(p, DownOf(step, p), IF line[p] = "open" THEN SentTo(step.down, p) ELSE <<>>) : p \in Peers}
    \cup UNION {Difference(t, After(step.party, t), step.after[t]) : t \in DOMAIN step.after}

------------------------------------------------------------------------------
TraceInit == run \in DOMAIN Recorded /\ at = 0 /\ wrong = {} /\ Init
TraceNext ==
    /\ wrong = {} /\ ~IsOver
    /\ Fits(Current) /\ Do(Current) /\ wrong' = Differences(Current)
    /\ at' = at + 1 /\ run' = run
Trace == TraceInit /\ [][TraceNext]_all

\* Each step, whatever Do makes of it.
IsOfTheModel == [][OfTheModel]_vars

\* A run that was driven until nothing more happened: nor must anything more happen in the model (its Due), tasks' ends
\* included; but that nobody else has to come, and no other task.
StillToHappen ==
    LET mine == Recorded[run].peers
        workers == Workers \cap mine
        Whose(action, who) == {<<action, p>> : p \in who}
    IN  Whose("Take", {p \in mine : CanTake(p)}) \cup Whose("Miss", {p \in mine : CanMiss(p)})
        \cup Whose("LearnOfLoss", {p \in mine : CanLearn(p)}) \cup Whose("Notice", {p \in mine : CanNotice(p)})
        \cup Whose("Reads", {p \in mine : CanRead(p)}) \cup Whose("SendEcho", sch.owed)
        \cup Whose("GraceOver", {sch.mode} \cap {"closing"}) \cup Whose("Leave", {w \in workers : CanLeave(w)})
        \cup Whose("Place", {w \in workers : \E t \in Tasks : MayDispatch(sch, t, w)})
        \cup Whose("Start", {w \in workers : \E t \in Tasks : CanStart(w, t)})
        \cup Whose("Ended", {w \in workers : \E t \in Tasks : CanEnd(w, t)})
        \cup Whose("Finish", {w \in workers : At(w, {"running"}) # {}})
AtItsEnd ==
    IF IsOver /\ Recorded[run].rests
    THEN {<<"still to happen", each, "nothing more happens">> : each \in StillToHappen} ELSE {}

\* For whoever reads what TLC prints: how far each run is explained.
Tell == PrintT(ToString(<<"explained", run, at, wrong \cup AtItsEnd>>))
=============================================================================
