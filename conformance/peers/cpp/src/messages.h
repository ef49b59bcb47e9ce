// The messages of SPEC.md, section 3, as plain values. Their fields are those of protocol/message.capnp.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace peer {

// Opaque bytes: task ids, routing ids, ids of payloads, frames. A string, because it compares and hashes as bytes.
using Bytes = std::string;

// An enumeration may hold a value that it does not name: it came from a later version (M6).
enum class ArgumentType : std::uint16_t { task, objectID };
enum class CancelConfirmType : std::uint16_t { canceled, cancelFailed, cancelNotFound };
enum class ResultType : std::uint16_t { success, failed, failedWorkerDied };
enum class LogType : std::uint16_t { out, err };
enum class DisconnectType : std::uint16_t { disconnect, shutdown };

struct Argument {
  ArgumentType type{};
  Bytes data{};
  bool operator==(const Argument&) const = default;
};

struct Capability {
  std::string name{};
  std::int64_t value{};
  bool operator==(const Capability&) const = default;
};

struct Task {
  Bytes taskId{};
  Bytes source{};
  Bytes metadata{};
  Bytes funcObjectId{};
  std::vector<Argument> functionArgs{};
  std::vector<Capability> capabilities{};
  bool operator==(const Task&) const = default;
};

struct TaskCancel {
  Bytes taskId{};
  bool force{};
  bool operator==(const TaskCancel&) const = default;
};

struct TaskCancelConfirm {
  Bytes taskId{};
  CancelConfirmType cancelConfirmType{};
  bool operator==(const TaskCancelConfirm&) const = default;
};

struct TaskResult {
  Bytes taskId{};
  ResultType resultType{};
  Bytes metadata{};
  std::vector<Bytes> results{};
  bool operator==(const TaskResult&) const = default;
};

struct TaskLog {
  Bytes taskId{};
  LogType logType{};
  std::string content{};
  bool operator==(const TaskLog&) const = default;
};

struct GraphTask {
  Bytes taskId{};
  Bytes source{};
  std::vector<Bytes> targets{};
  std::vector<Task> graph{};
  bool operator==(const GraphTask&) const = default;
};

struct ObjectInstruction {
  bool operator==(const ObjectInstruction&) const = default;
};

struct Resource {
  std::uint16_t cpu{};
  std::uint64_t rss{};
  bool operator==(const Resource&) const = default;
};

struct ObjectStorageAddress {
  std::string host{};
  std::uint16_t port{};
  std::string scheme{};
  bool operator==(const ObjectStorageAddress&) const = default;
};

struct ClientHeartbeat {
  Resource resource{};
  std::uint32_t latencyMicroseconds{};
  std::string hostname{};
  bool operator==(const ClientHeartbeat&) const = default;
};

struct ClientHeartbeatEcho {
  ObjectStorageAddress objectStorageAddress{};
  bool operator==(const ClientHeartbeatEcho&) const = default;
};

struct ProcessorStatus {
  std::uint32_t pid{};
  bool initialized{};
  bool hasTask{};
  bool suspended{};
  Resource resource{};
  Bytes currentTaskId{};
  std::uint32_t taskAgeSeconds{};
  bool operator==(const ProcessorStatus&) const = default;
};

struct WorkerHeartbeat {
  Resource agent{};
  std::uint64_t rssFree{};
  std::uint32_t queueSize{};
  std::uint32_t queuedTasks{};
  std::uint32_t latencyMicroseconds{};
  bool taskLock{};
  std::vector<ProcessorStatus> processors{};
  std::vector<Capability> capabilities{};
  Bytes workerManagerID{};
  std::uint64_t memLimit{};
  std::string hostname{};
  std::uint64_t netSentBytes{};
  std::uint64_t netRecvBytes{};
  bool operator==(const WorkerHeartbeat&) const = default;
};

struct WorkerHeartbeatEcho {
  ObjectStorageAddress objectStorageAddress{};
  bool operator==(const WorkerHeartbeatEcho&) const = default;
};

struct ClientDisconnect {
  DisconnectType disconnectType{};
  bool operator==(const ClientDisconnect&) const = default;
};

struct ClientShutdownResponse {
  bool accepted{};
  bool operator==(const ClientShutdownResponse&) const = default;
};

struct WorkerDisconnectNotification {
  bool operator==(const WorkerDisconnectNotification&) const = default;
};

// A member of the union that this version does not know or does not use (M3).
struct UnknownMember {
  std::uint16_t number{};
  bool operator==(const UnknownMember&) const = default;
};

using Message =
    std::variant<Task, TaskCancel, TaskCancelConfirm, TaskResult, TaskLog, GraphTask, ObjectInstruction,
                 ClientHeartbeat, ClientHeartbeatEcho, WorkerHeartbeat, WorkerHeartbeatEcho, ClientDisconnect,
                 ClientShutdownResponse, WorkerDisconnectNotification, UnknownMember>;

// For std::visit: one lambda for each kind of message.
template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace peer
