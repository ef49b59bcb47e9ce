@0xcb7d19a388f40484;
struct Message {
  union {
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
    clientDisconnect @18 :ClientDisconnect;
    clientShutdownResponse @19 :ClientShutdownResponse;
    processorInitialized @20 :Unused;
    informationRequest @21 :Unused;
    informationResponse @22 :Unused;
    workerManagerHeartbeat @23 :Unused;
    workerManagerHeartbeatEcho @24 :Unused;
    workerManagerCommand @25 :Unused;
    workerDisconnectNotification @26 :WorkerDisconnectNotification;
  }
}
struct Unused {
}
struct Task {
  taskId @0 :Data;
  source @1 :Data;
  metadata @2 :Data;
  funcObjectId @3 :Data;
  functionArgs @4 :List(Argument);
  capabilities @5 :List(Capability);
  struct Argument {
    type @0 :Type;
    data @1 :Data;
    enum Type {
      task @0;
      objectID @1;
    }
  }
}
struct Capability {
  name @0 :Text;
  value @1 :Int64;
}
struct TaskCancel {
  taskId @0 :Data;
  flags @1 :Flags;
  struct Flags {
    force @0 :Bool;
  }
}
struct TaskCancelConfirm {
  taskId @0 :Data;
  cancelConfirmType @1 :CancelConfirmType;
}
enum CancelConfirmType {
  canceled @0;
  cancelFailed @1;
  cancelNotFound @2;
}
struct TaskResult {
  taskId @0 :Data;
  resultType @1 :ResultType;
  metadata @2 :Data;
  results @3 :List(Data);
  enum ResultType {
    success @0;
    failed @1;
    failedWorkerDied @2;
  }
}
struct TaskLog {
  taskId @0 :Data;
  logType @1 :Type;
  content @2 :Text;
  enum Type {
    stdout @0;
    stderr @1;
  }
}
struct GraphTask {
  taskId @0 :Data;
  source @1 :Data;
  targets @2 :List(Data);
  graph @3 :List(Task);
}
struct ObjectInstruction {
}
struct Resource {
  cpu @0 :UInt16;
  rss @1 :UInt64;
}
struct ObjectStorageAddress {
  host @0 :Text;
  port @1 :UInt16;
  scheme @2 :Text;
}
struct ClientHeartbeat {
  resource @0 :Resource;
  latencyMicroseconds @1 :UInt32;
  hostname @2 :Text;
}
struct ClientHeartbeatEcho {
  objectStorageAddress @0 :ObjectStorageAddress;
}
struct WorkerHeartbeat {
  agent @0 :Resource;
  rssFree @1 :UInt64;
  queueSize @2 :UInt32;
  queuedTasks @3 :UInt32;
  latencyMicroseconds @4 :UInt32;
  taskLock @5 :Bool;
  processors @6 :List(ProcessorStatus);
  capabilities @7 :List(Capability);
  workerManagerID @8 :Data;
  memLimit @9 :UInt64;
  hostname @10 :Text;
  netSentBytes @11 :UInt64;
  netRecvBytes @12 :UInt64;
}
struct ProcessorStatus {
  pid @0 :UInt32;
  initialized @1 :Bool;
  hasTask @2 :Bool;
  suspended @3 :Bool;
  resource @4 :Resource;
  currentTaskId @5 :Data;
  taskAgeSeconds @6 :UInt32;
}
struct WorkerHeartbeatEcho {
  objectStorageAddress @0 :ObjectStorageAddress;
}
struct ClientDisconnect {
  disconnectType @0 :Type;
  enum Type {
    disconnect @0;
    shutdown @1;
  }
}
struct ClientShutdownResponse {
  accepted @0 :Bool;
}
struct WorkerDisconnectNotification {
}
