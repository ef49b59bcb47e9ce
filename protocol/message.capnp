# The Task Cancellation Protocol, version 1: the layout of every message.
#
# Each comment below is the specification of the field that it follows: what the value means, who sends it and
# when, its unit, and what a receiver does with a value it does not know. What the messages make the parties do is
# in SPEC.md; ids such as M3 are its requirements.
#
# One ZeroMQ message carries one frame, and a frame is one unpacked Cap'n Proto message (segment table, then the
# segments, then nothing) whose root is a `Message`. See SPEC.md, sections "Transport and framing" and "Messages".
#
# What holds for every field:
# * A field that the sender's struct is too short to have reads as its default: zero, false, the enumerant numbered
#   zero, an empty Data, Text or list, a struct of defaults. A null pointer reads the same way. (M4)
# * Data and pointers beyond the fields listed here come from a later version and are ignored. (M4)
# * Text is UTF-8; anything else makes the message malformed. Data is opaque bytes. (M1)
# * A malformed message is dropped as a whole, counted and logged with its sender. (M1)
# * "Forwards" means: passes the frame on as it came, the parts it does not know included.
#
# Numbers (`@n`), types and enumerants are never changed or used again. A later version may add fields at the end of
# a struct, enumerants at the end of an enum and members at the end of the union, and nothing else. (E1)

@0xcb7d19a388f40484;

struct Message {
  # The root of every frame.

  union {
    # A member that the receiver does not know, or that is not meant for its role: the message is dropped, counted
    # and logged with its sender, and the receiver goes on. (M3)
    #
    # Members 0 to 10 have kept their numbers in every release of OpenGRIS Scaler. Those from 11 on have been
    # renumbered between its releases; the numbers here are those of release 2.9.

    task @0 :Task;
    taskCancel @1 :TaskCancel;
    taskCancelConfirm @2 :TaskCancelConfirm;
    taskResult @3 :TaskResult;
    taskLog @4 :TaskLog;
    graphTask @5 :GraphTask;
    objectInstruction @6 :ObjectInstruction;
    clientHeartbeat @7 :ClientHeartbeat;
    clientHeartbeatEcho @8 :ClientHeartbeatEcho;
    workerHeartbeat @9 :WorkerHeartbeat;
    workerHeartbeatEcho @10 :WorkerHeartbeatEcho;

    stateClient @11 :Unused;
    stateObject @12 :Unused;
    stateBalanceAdvice @13 :Unused;
    stateScheduler @14 :Unused;
    stateWorker @15 :Unused;
    stateTask @16 :Unused;
    stateGraphTask @17 :Unused;
    # 11 to 17: how a Scaler scheduler reports its state to its monitors. Not part of this protocol.

    clientDisconnect @18 :ClientDisconnect;
    clientShutdownResponse @19 :ClientShutdownResponse;

    processorInitialized @20 :Unused;
    informationRequest @21 :Unused;
    informationResponse @22 :Unused;
    workerManagerHeartbeat @23 :Unused;
    workerManagerHeartbeatEcho @24 :Unused;
    workerManagerCommand @25 :Unused;
    # 20 to 25: between the processes of a Scaler worker, and between its scheduler and those who start workers for
    # it. Not part of this protocol.

    workerDisconnectNotification @26 :WorkerDisconnectNotification;
  }
}

struct Unused {
  # Stands for the struct of a member that this protocol does not use. Receivers treat the message as one with an
  # unknown member. It is an empty struct, not an AnyPointer, because Cap'n Proto copies a struct with all that the
  # sender put in it, known or not: whoever reads such a member and writes it elsewhere loses nothing, and a later
  # version may give it fields.
}

# ---------------------------------------------------------------------------------------------------------------
# Tasks

struct Task {
  # Client to scheduler: run this; the sender becomes its owner. A scheduler that will not hold it answers
  # TaskCancelConfirm `cancelNotFound`.
  # Scheduler to worker, forwarded: this task is now yours.

  taskId @0 :Data;
  # Names the task in every message about it. 1 to 255 opaque bytes, compared as bytes, chosen by the client; UUIDv4
  # in 16 bytes is the custom. An id is never used for a second task. Empty or longer: the message is malformed. (M5)

  source @1 :Data;
  # The client's routing id as the client states it: for a worker, whose payloads it stores. It proves nothing: a
  # scheduler does not decide ownership by it, since the owner is the connection's own routing id. (S2.3)

  metadata @2 :Data;
  # Hints of the client's for those that run the task. Opaque; schedulers forward it, and whoever does not
  # understand it ignores it.

  funcObjectId @3 :Data;
  # The id of the payload that holds the function. Opaque to schedulers. OpenGRIS Scaler 2.9 raises at payload ids
  # that have other than 32 bytes, here and below.

  functionArgs @4 :List(Argument);
  # The function's positional arguments, in order.

  capabilities @5 :List(Capability);
  # What the client asks of the worker that runs this. A scheduler may place by it, or ignore it: placement is free
  # (S7.1). Each name at most once; a receiver that finds one repeated uses the last. Empty: any worker will do.

  struct Argument {
    type @0 :Type;
    # What `data` names. Not known: a scheduler forwards the task untouched; the worker reports it `failed`. (M6)

    data @1 :Data;
    # The name, as `type` says.

    enum Type {
      task @0;
      # The id of another task, whose result is the argument. Only within a GraphTask.

      objectID @1;
      # The id of the payload that holds the argument.
    }
  }
}

struct Capability {
  # Something that a worker has or that a task needs.

  name @0 :Text;
  # Compared byte by byte.

  value @1 :Int64;
  # How much of it; -1 is the custom where it cannot be counted. A receiver that does not weigh amounts matches by
  # name alone.
}

struct TaskCancel {
  # Client to scheduler: cancel this task of mine. Opens a cancel round, or joins the open one.
  # Scheduler to worker: the same, for a task that the worker was given; or, without force, to take the task back and
  # place it elsewhere. The worker cannot tell the two apart and need not.

  taskId @0 :Data;
  # As in Task. One that the receiver does not hold is answered `cancelNotFound`.

  flags @1 :Flags;
  # A null pointer reads as no flag set.

  struct Flags {
    force @0 :Bool;
    # True: end the task even if it runs. False: only if it has not begun; one that runs refuses (`cancelFailed`).
  }
}

struct TaskCancelConfirm {
  # Worker to scheduler: the answer to a TaskCancel. Those that come while the worker ends the task share one answer.
  # Scheduler to client: the answer to the owner's round; or the refusal of a Task that the scheduler will not hold;
  # or the end of a task that can no longer run.

  taskId @0 :Data;
  # As in the TaskCancel or Task that is answered.

  cancelConfirmType @1 :CancelConfirmType;
  # Not known: the message is dropped and counted, and the round stays open. (M6)
}

enum CancelConfirmType {
  canceled @0;
  # The task does not run and will not run; no result follows. Terminal. A worker sends it only when whatever ran
  # the task has ended.

  cancelFailed @1;
  # Refused: the task runs and goes on. Not terminal: a TaskResult follows, or the answer to another round.

  cancelNotFound @2;
  # The sender holds no such task (of the asker's), and no result follows. Terminal.
}

struct TaskResult {
  # Worker to scheduler, and forwarded to the owner: the task ended by itself. Terminal.
  # Scheduler to owner, of its own making: `failedWorkerDied`; for a task of a graph that cannot run, what the task
  # that it depends on ended with; for a graph, how it ended. (SPEC.md, "Graph tasks")

  taskId @0 :Data;
  # As in Task.

  resultType @1 :ResultType;
  # Not known: the result is terminal all the same; a scheduler forwards it, and the client treats it as `failed`,
  # never as a success. (M6)

  metadata @2 :Data;
  # Remarks of the worker's on the run, such as its duration. Opaque, ignored by who does not understand it.

  results @3 :List(Data);
  # Ids of payloads. With `success` one, the returned value; with `failed` one, the exception. Empty with
  # `failedWorkerDied`, or where there is nothing to fetch.

  enum ResultType {
    success @0;
    # The function returned.

    failed @1;
    # The function raised, or could not be run.

    failedWorkerDied @2;
    # What ran the task died under it, or its worker was lost, and it is not run again.
  }
}

struct TaskLog {
  # Worker to scheduler, and forwarded to the owner: what a running task wrote. Not terminal, and not answered.

  taskId @0 :Data;
  # As in Task.

  logType @1 :Type;
  # Not known: forwarded; the client treats it as `stdout`. (M6)

  content @2 :Text;
  # A piece of output as the task wrote it; not necessarily one line, nor a whole one.

  enum Type {
    stdout @0;
    stderr @1;
  }
}

struct GraphTask {
  # Client to scheduler: tasks that depend on one another, submitted as one. (SPEC.md, "Graph tasks")

  taskId @0 :Data;
  # Names the graph; what is said of Task.taskId holds for it.

  source @1 :Data;
  # As in Task.

  targets @2 :List(Data);
  # Ids of those tasks in `graph` whose results the client wants. One that stands twice counts once.

  graph @3 :List(Task);
  # The tasks, in any order, each with an id of its own; arguments of type `task` name others of the same graph.
}

struct ObjectInstruction {
  # Creation and deletion of payloads, between client or worker and scheduler. Payloads are outside of this protocol:
  # a party that keeps no account of them ignores the message without counting it as an error. Its fields are not
  # listed; what was said of Unused, why it is an empty struct, holds here too.
}

# ---------------------------------------------------------------------------------------------------------------
# Heartbeats
#
# The first message of every peer is a heartbeat, and each is answered by one echo. The echo is sent after
# everything that the earlier messages on the same connection cause to be sent: whoever has its echo knows that what
# has not come will not come. That makes a heartbeat a fence. (S10)
#
# The figures in a heartbeat, `queueSize` apart, are for people who watch a cluster: a receiver may ignore them, and
# no decision of this protocol rests on them. Zero where the sender does not measure.

struct Resource {
  # What one process uses.

  cpu @0 :UInt16;
  # CPU time for elapsed time, in tenths of a percent of one core: 1000 is one core in full.

  rss @1 :UInt64;
  # Resident memory, in bytes.
}

struct ObjectStorageAddress {
  # Where the payloads of this cluster are kept. A receiver that does not know `scheme` can take part in the protocol
  # but cannot reach payloads, and says so to its user.

  host @0 :Text;
  # With scheme "tcp", the host name or address of the server. With "sqlite", the path of the database file.

  port @1 :UInt16;
  # With "tcp", its port. Otherwise 0.

  scheme @2 :Text;
  # "tcp": OpenGRIS Scaler's object storage server. "sqlite": a database file that every party on the same machine
  # opens. Others may come.
}

struct ClientHeartbeat {
  # Client to scheduler: first of all, then at a steady interval, and whenever it wants a fence.

  resource @0 :Resource;
  # The client's process.

  latencyMicroseconds @1 :UInt32;
  # From the sending of the previous heartbeat to the arrival of its echo, in microseconds. 0 in the first.

  hostname @2 :Text;
  # The name of the client's machine.
}

struct ClientHeartbeatEcho {
  # Scheduler to client: the answer to one ClientHeartbeat, and the fence that it asked for.

  objectStorageAddress @0 :ObjectStorageAddress;
  # Does not change while the scheduler runs.
}

struct WorkerHeartbeat {
  # Worker to scheduler: first of all, then at a steady interval, and whenever it wants a fence. The first one
  # registers the worker.

  agent @0 :Resource;
  # The worker's own process, without those that run tasks.

  rssFree @1 :UInt64;
  # Memory that the worker may still use, in bytes.

  queueSize @2 :UInt32;
  # How many tasks, queued and running together, the worker can be assigned at once. A scheduler assigns no more
  # than the last heartbeat says; a value below what is already assigned takes nothing back. 0: none. (S8.2)

  queuedTasks @3 :UInt32;
  # How many tasks it has now that have not begun.

  latencyMicroseconds @4 :UInt32;
  # As in ClientHeartbeat.

  taskLock @5 :Bool;
  # Whether something other than the queue keeps the worker from beginning its next task. For people only.

  processors @6 :List(ProcessorStatus);
  # The processes that run its tasks.

  capabilities @7 :List(Capability);
  # What it has, for tasks to ask for.

  workerManagerID @8 :Data;
  # Who started the worker, if it was not a person. Opaque.

  memLimit @9 :UInt64;
  # Memory that the worker may use in all, in bytes.

  hostname @10 :Text;
  # The name of the worker's machine.

  netSentBytes @11 :UInt64;
  # What the machine has sent over its networks since it started, in bytes.

  netRecvBytes @12 :UInt64;
  # What it has received, in bytes.
}

struct ProcessorStatus {
  # One process that runs tasks.

  pid @0 :UInt32;
  # Its id on the worker's machine.

  initialized @1 :Bool;
  # It is ready to run tasks.

  hasTask @2 :Bool;
  # It runs one.

  suspended @3 :Bool;
  # It is stopped for the time being.

  resource @4 :Resource;
  # What it uses.

  currentTaskId @5 :Data;
  # The task that it runs; empty if `hasTask` is false. Says nothing about who holds the task.

  taskAgeSeconds @6 :UInt32;
  # For how long it has run it, in whole seconds.
}

struct WorkerHeartbeatEcho {
  # Scheduler to worker: the answer to one WorkerHeartbeat, and the fence that it asked for.

  objectStorageAddress @0 :ObjectStorageAddress;
  # Does not change while the scheduler runs.
}

# ---------------------------------------------------------------------------------------------------------------
# Leaving

struct ClientDisconnect {
  # Client to scheduler: this client leaves, or asks that the whole cluster shut down.
  # Scheduler to worker or client: it is the receiver that shall leave.

  disconnectType @0 :Type;
  # Not known: treated as `disconnect`. (M6)

  enum Type {
    disconnect @0;
    # From a client: it leaves; its tasks are cancelled. Not answered. Whoever keeps payloads may release its: that is
    # not part of this protocol.
    # To a worker: its routing id is no longer accepted, since it had been declared lost. It ends all its tasks,
    # reports nothing of them, and comes back under a new routing id.
    # To a client: the same; it has no task any more.

    shutdown @1;
    # From a client: shut the cluster down. Answered by ClientShutdownResponse.
    # To a worker: end all your tasks and exit.
  }
}

struct ClientShutdownResponse {
  # Scheduler to client: the answer to ClientDisconnect `shutdown`.

  accepted @0 :Bool;
  # Whether the cluster now shuts down.
}

struct WorkerDisconnectNotification {
  # Worker to scheduler, the last message under its routing id: good-bye; what I held is yours to place again, and I
  # run none of it.
}
