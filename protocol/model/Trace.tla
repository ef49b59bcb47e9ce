-------------------------------- MODULE Trace --------------------------------
(* Recorded runs, held against Scheduler.tla: for each, TLC looks for a behaviour of the model's scheduler that is   *)
(* that run, message by message. `rescind conformance validate` writes the runs and reads what came of them.         *)
(*                                                                                                                   *)
(* A run is a few lanes, each a sequence of records in order: <<position, kind, peer, message>>. What the scheduler  *)
(* recorded itself is one lane: its own order. What was seen from outside has two for each peer, what it sent and    *)
(* what it got, and the order between lanes is not known, but that what a peer had got before it sent something was  *)
(* sent before that was handled: positions count what was seen on one clock. The kinds:                              *)
(*    "from"    the scheduler handles a message of the peer                                                          *)
(*    "to"      the scheduler sends it a message                                                                     *)
(*    "event"   <<"peer lost">>, <<"close requested">>, <<"grace over">> or <<"closed">>: it has ended in order. From  *)
(*              outside all but the last: if at all, not earlier; at 0: nothing says that it happened. A peer is lost  *)
(*              by silence, or, <<"peer lost", "dropped">>, as one to whom nothing can be sent any more.               *)
(* A message is as in Scheduler.tla, and there are <<"GraphTask", task>> and <<"ClientShutdownResponse", word>>. A   *)
(* Task is <<"Task", task, content>>: all else that it says.                                                         *)
EXTENDS Naturals, Sequences, FiniteSets, TLC

CONSTANTS Runs,             \* a sequence of records with these fields:
                            \*   clients, workers, tasks: their names
                            \*   losses: the values that MaxLosses may have
                            \*   limited: whether a client's tasks, and peers, are limited (S11.5)
                            \*   moves: whether tasks may be moved (S7.1) from any worker
                            \*   outside: how it was seen
                            \*   lanes: each [open |-> whether more may have been sent than was seen, records]
                            \*   into: for each peer, the lane that says what it was sent
          Explain,          \* whether to tell, of each run, how far a behaviour of the model explains it
          MostStates        \* so many states are looked at for one run

VARIABLES run,              \* which one of them
          limit,            \* MaxLosses of this scheduler
          s,                \* the scheduler: see Scheduler.tla
          content,          \* what each task was accepted with
          done,             \* how many records of each lane are explained
          seen              \* only looked at: which rows of the table, and which actions, were taken

This == Runs[run]
Model == INSTANCE Scheduler WITH Clients <- This.clients, Workers <- This.workers, Tasks <- This.tasks,
                                 QueueSize <- 0, MaxLosses <- limit

Init ==
    /\ run \in DOMAIN Runs
    /\ limit \in This.losses
    /\ s = Model!Ignorant
    /\ content = [t \in This.tasks |-> ""]
    /\ done = [lane \in DOMAIN This.lanes |-> 0]
    /\ seen = {}

------------------------------------------------------------------------------
(* Records. *)

Lanes == DOMAIN This.lanes
Records(lane) == This.lanes[lane].records
IsLeft(lane) == done[lane] < Len(Records(lane))
Record(lane) == Records(lane)[done[lane] + 1]
IsNext(lane, kind) == IsLeft(lane) /\ Record(lane)[2] = kind

\* What came before it was sent has been sent; in the scheduler's own order this is so by itself.
IsReady(record) == \A lane \in Lanes : IsNext(lane, "to") => Record(lane)[1] > record[1]

Into(lane, out) == SelectSeq(out, LAMBDA item : This.into[item[1]] = lane)
Count(item, items) == Cardinality({i \in DOMAIN items : items[i] = item})

\* A Task that goes to a worker as it was accepted is the model's (S1.5, M6).
Plain(message) == IF message[1] = "Task" /\ message[3] = content[message[2]] THEN <<"Task", message[2]>> ELSE message

\* What is sent in one step is what was recorded next. Where it is about several tasks (S9.5), their order is free.
Least(a, b) == IF a < b THEN a ELSE b
Recorded(lane, after, out) == Least(Len(out), Len(Records(lane)) - after[lane])
Fits(lane, after, out) ==
    LET number == Recorded(lane, after, out)
        records == [i \in 1..number |-> Records(lane)[after[lane] + i]]
        items == [i \in 1..number |-> <<records[i][3], Plain(records[i][4])>>]
    IN  /\ number < Len(out) => This.lanes[lane].open
        /\ \A i \in 1..number : records[i][2] = "to" /\ Count(items[i], items) <= Count(items[i], out)

\* A reaction of the scheduler, if it was recorded. `after`: what is done when what led to it is.
Step(reaction, after, name) ==
    /\ \A lane \in Lanes : Fits(lane, after, Into(lane, reaction.out))
    /\ s' = reaction.s
    /\ done' = [lane \in Lanes |-> after[lane] + Recorded(lane, after, Into(lane, reaction.out))]
    /\ seen' = seen \cup reaction.rows \cup {<<"action", name>>}
    /\ UNCHANGED <<run, limit>>
Accept(message, after) ==
    content' = IF message[1] = "Task" /\ ~Model!Held(s, message[2]) /\ Model!Held(after, message[2])
               THEN [content EXCEPT ![message[2]] = message[3]] ELSE content

------------------------------------------------------------------------------
(* What the scheduler does with a message: Scheduler.tla's, and what no model of cancelling needs. *)

\* The grace is over, or it has exited.
HasEnded == s.mode \in {"closed", "exited"}

\* S11.6, S9.8.
OnShutdownRequest(c) ==
    IF s.peer[c] = "lost" THEN {Model!Nothing(s)}
    ELSE {Model!Send(s, c, <<"ClientShutdownResponse", "refused">>),
          Model!Then(Model!Send(s, c, <<"ClientShutdownResponse", "accepted">>),
                     LAMBDA n : IF n.mode = "open" THEN Model!BeginToClose(n) ELSE Model!Nothing(n))}

\* S11.5: one too many.
Refusals(p, message) ==
    IF ~This.limited THEN {}
    ELSE CASE message[1] = "Task" /\ p \in This.clients /\ ~Model!Held(s, message[2]) ->
                    {Model!Send(s, p, <<"TaskCancelConfirm", message[2], "cancelNotFound">>)}
           [] message[1] \in {"ClientHeartbeat", "WorkerHeartbeat"} /\ s.peer[p] = "new" ->
                    {Model!Send(s, p, <<"ClientDisconnect", "disconnect">>)}
           [] OTHER -> {}

Reactions(p, message) ==
    CASE p \in This.clients /\ message = <<"ClientDisconnect", "shutdown">> -> OnShutdownRequest(p)
      [] OTHER -> {Model!OnMessage(s, p, message)} \cup Refusals(p, message)

\* S9.10: before it exits, every task has its end, and every worker has left or had its grace.
MayExit == s.mode = "closed" \/ (s.mode = "closing" /\ \A w \in This.workers : s.peer[w] # "served")

\* S9.1, S9.10. Not every scheduler tells a client that fell silent that nothing will come: S9.11 only says SHOULD.
OnEvent(p, event) ==
    CASE s.mode = "exited" -> {}
      [] event[1] = "peer lost" ->
            IF s.peer[p] # "served" \/ s.mode = "closed" THEN {}
            ELSE (IF Len(event) = 2 /\ p \in This.clients THEN {} ELSE {Model!LoseSilent(s, p)})
                 \cup (IF (This.outside \/ Len(event) = 2) /\ p \in This.clients
                       THEN {Model!LoseClient(s, p, "owner left")} ELSE {})
      [] event[1] = "close requested" -> {IF s.mode = "open" THEN Model!BeginToClose(s) ELSE Model!Nothing(s)}
      [] event[1] = "grace over" -> IF s.mode = "closing" THEN {Model!EndOfGrace(s)} ELSE {}
      [] event[1] = "closed" -> IF MayExit THEN {Model!Nothing([s EXCEPT !.mode = "exited"])} ELSE {}

------------------------------------------------------------------------------
(* The steps. *)

Past(lane) == [done EXCEPT ![lane] = @ + 1]

Take(lane) ==
    /\ IsNext(lane, "from") /\ ~HasEnded /\ s.owed = {} /\ IsReady(Record(lane))
    /\ LET record == Record(lane)
       IN  \E reaction \in Reactions(record[3], record[4]) :
               Step(reaction, Past(lane), record[4][1]) /\ Accept(record[4], reaction.s)

\* What nobody has seen, where it can be: one that is lost gets nothing more but what it is told of its loss (S9.6,
\* S9.8, S9.11), and in a shutdown no worker gets a Task (S9.10). So that TLC need not look at the rest.
Unseen(record) == record[1] = 0
ToCome(p) == LET lane == This.into[p] IN SubSeq(Records(lane), done[lane] + 1, Len(Records(lane)))
CanBeUnseen(record) ==
    LET Gets(p, messages) == \E i \in DOMAIN ToCome(p) : ToCome(p)[i][3] = p /\ ToCome(p)[i][4][1] \in messages
    IN  CASE ~Unseen(record) -> TRUE
          [] record[4][1] = "peer lost" ->
                ~Gets(record[3], {"Task", "TaskCancel", "TaskResult", "WorkerHeartbeatEcho", "ClientHeartbeatEcho"})
          [] record[4][1] = "close requested" -> \A w \in This.workers : ~Gets(w, {"Task"})
          [] OTHER -> TRUE

Happen(lane) ==
    /\ IsNext(lane, "event") /\ s.owed = {} /\ IsReady(Record(lane)) /\ CanBeUnseen(Record(lane))
    /\ LET record == Record(lane)
       IN  \E reaction \in OnEvent(record[3], record[4]) : Step(reaction, Past(lane), record[4][1])

Place(t, w) == Model!MayDispatch(s, t, w) /\ Step(Model!Dispatch(s, t, w), done, "dispatch")
\* A worker that takes fewer tasks from now on may be asked for those that it has, also where nothing is balanced (S7.1).
HasTooMany(w) == Cardinality(Model!HeldBy(s, w)) > s.size[w]
Move(t) ==
    /\ s.mode \in {"open", "closing"} /\ Model!Rebalance(s, t).out # <<>>
    /\ This.moves \/ HasTooMany(s.task[t].holder)
    /\ Step(Model!Rebalance(s, t), done, "rebalance")
SendEcho(p) == p \in s.owed /\ Model!EchoIsDue(s) /\ Step(Model!Echo(s, p), done, "echo")

\* What it decides by itself is what was recorded next,
Decide(lane) ==
    /\ IsNext(lane, "to")
    /\ LET p == Record(lane)[3]
           message == Record(lane)[4]
       IN  CASE message[1] = "Task" /\ p \in This.workers -> Place(message[2], p)
             [] message[1] = "TaskCancel" -> s.task[message[2]].holder = p /\ Move(message[2])
             [] OTHER -> message[1] \in {"ClientHeartbeatEcho", "WorkerHeartbeatEcho"} /\ SendEcho(p)

\* or what nobody saw.
DecideUnseen(p) ==
    /\ This.outside /\ This.lanes[This.into[p]].open /\ ~IsLeft(This.into[p])
    /\ \/ SendEcho(p)
       \/ p \in This.workers /\ \E t \in This.tasks :
                Place(t, p) \/ (s.task[t].holder = p /\ Move(t))

\* A heartbeat that changes nothing, and its echo, where that is what comes next: whatever else may happen may as well
\* happen afterwards, so that TLC need not look at every order of them.
Changes(p, message) == s.peer[p] # "served" \/ ~Model!EchoIsDue(s)
                       \/ (Len(message) > 1 /\ s.size[p] # message[2])
CanBeat(lane) ==
    /\ IsNext(lane, "from") /\ ~HasEnded /\ s.owed = {} /\ IsReady(Record(lane))
    /\ LET p == Record(lane)[3]
           message == Record(lane)[4]
           echo == <<p, IF p \in This.clients THEN <<"ClientHeartbeatEcho">> ELSE <<"WorkerHeartbeatEcho">> >>
       IN  /\ message[1] = (IF p \in This.clients THEN "ClientHeartbeat" ELSE "WorkerHeartbeat")
           /\ ~Changes(p, message)
           /\ Fits(This.into[p], Past(lane), <<echo>>)
Beat(lane) ==
    LET p == Record(lane)[3]
    IN  Step(Model!Then(Model!OnMessage(s, p, Record(lane)[4]), LAMBDA n : Model!Echo(n, p)), Past(lane), "echo")

\* S10.2: what the heartbeat itself has caused, by the room that it tells of, may come after its echo. In the
\* scheduler's own order it is seen that it does.
IsFollowedByTask(lane) ==
    LET next == done[lane] + 3
    IN  next <= Len(Records(lane)) /\ Records(lane)[next][3] = Record(lane)[3] /\ Records(lane)[next][4][1] = "Task"
EchoFirst(lane) ==
    /\ IsNext(lane, "from") /\ ~HasEnded /\ s.owed = {} /\ IsReady(Record(lane))
    /\ Record(lane)[4][1] = "WorkerHeartbeat"
    /\ This.outside \/ IsFollowedByTask(lane)
    /\ LET p == Record(lane)[3]
           handled == Model!OnMessage(s, p, Record(lane)[4])
       IN  /\ p \in handled.s.owed /\ Model!EchoIsDue(s) /\ ~Model!EchoIsDue(handled.s)
           /\ Step(Model!Then(handled, LAMBDA n : Model!Echo(n, p)), Past(lane), "echo")

Next ==
    LET beats == {lane \in Lanes : CanBeat(lane)}
    IN  IF beats # {} THEN Beat(CHOOSE lane \in beats : TRUE) /\ UNCHANGED content
        ELSE \/ \E lane \in Lanes : Take(lane) \/ ((Happen(lane) \/ Decide(lane) \/ EchoFirst(lane)) /\ UNCHANGED content)
             \/ This.outside /\ \E p \in DOMAIN This.into : DecideUnseen(p) /\ UNCHANGED content

Spec == Init /\ [][Next]_<<run, limit, s, content, done, seen>>

------------------------------------------------------------------------------
(* What is told. *)

\* Everything that was sent, and the scheduler's end; from outside, not all that was sent to it needs to have come.
IsCertain(lane) == IsLeft(lane) /\ (Record(lane)[2] = "to" \/ Record(lane)[4] = <<"closed">>)
IsExplained == \A lane \in Lanes : IF This.outside THEN ~IsCertain(lane) ELSE ~IsLeft(lane)

\* The first record that must be explained and is not yet.
Goal == LET left == {Record(lane)[1] : lane \in {lane \in Lanes : IsCertain(lane)}}
        IN  IF left = {} THEN 999999 ELSE CHOOSE n \in left : \A other \in left : n <= other
IsSeen(lane) == \A i \in DOMAIN Records(lane) : ~Unseen(Records(lane)[i])
RECURSIVE Sum(_)
Sum(lanes) == IF lanes = {} THEN 0 ELSE LET lane == CHOOSE lane \in lanes : TRUE IN done[lane] + Sum(lanes \ {lane})

\* What the scheduler would do with what it could handle next. It does not fit what was sent.
Waiting ==
    UNION { LET record == Record(lane)
            IN  IF record[2] = "to" \/ ~IsReady(record) \/ Unseen(record) THEN {}
                ELSE { <<record[1], reaction.out, reaction.rows>> :
                       reaction \in IF record[2] = "event" THEN OnEvent(record[3], record[4])
                                    ELSE Reactions(record[3], record[4]) }
          : lane \in {lane \in Lanes : IsLeft(lane)} }

\* Registers of TLC's, three for each run: whether it is explained, how far that has come, and how many states that took.
Explained == run
Reached == run + Len(Runs)
States == run + 2 * Len(Runs)
ASSUME \A register \in 1..(3 * Len(Runs)) : TLCSet(register, 0)

Searched == TLCGet(Explained) = 0 /\ TLCGet(States) <= MostStates
Tell ==
    LET steps == Sum({lane \in Lanes : IsSeen(lane)})
        far == 1 + (IF This.outside THEN Goal * 1000 ELSE 0) + steps    \* more than 0: the first record may be wrong
    IN  /\ TLCSet(States, TLCGet(States) + 1)
        /\ (TLCGet(States) = MostStates => PrintT(ToString(<<"undecided", run>>)))
        /\ (TLCGet(Explained) = 0 /\ IsExplained) =>
                TLCSet(Explained, 1) /\ PrintT(ToString(<<"explained", run, seen>>))
        /\ (Explain /\ Searched /\ far > TLCGet(Reached)) =>
                TLCSet(Reached, far)
                /\ PrintT(ToString(<<"reached", run, Goal, done, s, content, Waiting>>))
\* So that the same state is looked at once, whatever led to it.
View == <<run, limit, s, content, done>>
=============================================================================
