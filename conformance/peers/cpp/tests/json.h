// Messages as protocol/vectors/README.md writes them in JSON.
#pragma once

#include <nlohmann/json.hpp>

#include <array>

#include "messages.h"

namespace peer {

using nlohmann::json;

inline std::string hex(const Bytes& bytes) {
  std::string text;
  for (const char byte : bytes)
    for (const int shift : {4, 0}) text += "0123456789abcdef"[(static_cast<unsigned char>(byte) >> shift) & 15];
  return text;
}

// The name of the enumerant, or the number if it has none.
template <std::size_t size>
json enumerant(auto value, const std::array<const char*, size>& names) {
  const auto number = static_cast<std::size_t>(value);
  return number < size ? json(names[number]) : json(number);
}

template <class Values, class Convert>
json list(const Values& values, Convert convert) {
  json result = json::array();
  for (const auto& value : values) result.push_back(convert(value));
  return result;
}

inline json to_json(const Argument& m) {
  return {{"type", enumerant(m.type, std::array{"task", "objectID"})}, {"data", hex(m.data)}};
}

inline json to_json(const Capability& m) { return {{"name", m.name}, {"value", m.value}}; }

inline json to_json(const Task& m) {
  return {{"taskId", hex(m.taskId)},
          {"source", hex(m.source)},
          {"metadata", hex(m.metadata)},
          {"funcObjectId", hex(m.funcObjectId)},
          {"functionArgs", list(m.functionArgs, [](const auto& one) { return to_json(one); })},
          {"capabilities", list(m.capabilities, [](const auto& one) { return to_json(one); })}};
}

inline json to_json(const Resource& m) { return {{"cpu", m.cpu}, {"rss", m.rss}}; }

inline json to_json(const ObjectStorageAddress& m) {
  return {{"objectStorageAddress", {{"host", m.host}, {"port", m.port}, {"scheme", m.scheme}}}};
}

inline json to_json(const ProcessorStatus& m) {
  return {{"pid", m.pid},
          {"initialized", m.initialized},
          {"hasTask", m.hasTask},
          {"suspended", m.suspended},
          {"resource", to_json(m.resource)},
          {"currentTaskId", hex(m.currentTaskId)},
          {"taskAgeSeconds", m.taskAgeSeconds}};
}

inline json to_json(const WorkerHeartbeat& m) {
  return {{"agent", to_json(m.agent)},
          {"rssFree", m.rssFree},
          {"queueSize", m.queueSize},
          {"queuedTasks", m.queuedTasks},
          {"latencyMicroseconds", m.latencyMicroseconds},
          {"taskLock", m.taskLock},
          {"processors", list(m.processors, [](const auto& one) { return to_json(one); })},
          {"capabilities", list(m.capabilities, [](const auto& one) { return to_json(one); })},
          {"workerManagerID", hex(m.workerManagerID)},
          {"memLimit", m.memLimit},
          {"hostname", m.hostname},
          {"netSentBytes", m.netSentBytes},
          {"netRecvBytes", m.netRecvBytes}};
}

inline json to_json(const Message& message) {
  return std::visit(
      Overloaded{
          [](const Task& m) -> json { return {{"task", to_json(m)}}; },
          [](const TaskCancel& m) -> json {
            return {{"taskCancel", {{"taskId", hex(m.taskId)}, {"flags", {{"force", m.force}}}}}};
          },
          [](const TaskCancelConfirm& m) -> json {
            return {{"taskCancelConfirm",
                     {{"taskId", hex(m.taskId)},
                      {"cancelConfirmType",
                       enumerant(m.cancelConfirmType, std::array{"canceled", "cancelFailed", "cancelNotFound"})}}}};
          },
          [](const TaskResult& m) -> json {
            return {{"taskResult",
                     {{"taskId", hex(m.taskId)},
                      {"resultType", enumerant(m.resultType, std::array{"success", "failed", "failedWorkerDied"})},
                      {"metadata", hex(m.metadata)},
                      {"results", list(m.results, hex)}}}};
          },
          [](const TaskLog& m) -> json {
            return {{"taskLog",
                     {{"taskId", hex(m.taskId)},
                      {"logType", enumerant(m.logType, std::array{"stdout", "stderr"})},
                      {"content", m.content}}}};
          },
          [](const GraphTask& m) -> json {
            return {{"graphTask",
                     {{"taskId", hex(m.taskId)},
                      {"source", hex(m.source)},
                      {"targets", list(m.targets, hex)},
                      {"graph", list(m.graph, [](const Task& task) { return to_json(task); })}}}};
          },
          [](const ObjectInstruction&) -> json { return {{"objectInstruction", json::object()}}; },
          [](const ClientHeartbeat& m) -> json {
            return {{"clientHeartbeat",
                     {{"resource", to_json(m.resource)},
                      {"latencyMicroseconds", m.latencyMicroseconds},
                      {"hostname", m.hostname}}}};
          },
          [](const ClientHeartbeatEcho& m) -> json {
            return {{"clientHeartbeatEcho", to_json(m.objectStorageAddress)}};
          },
          [](const WorkerHeartbeat& m) -> json { return {{"workerHeartbeat", to_json(m)}}; },
          [](const WorkerHeartbeatEcho& m) -> json {
            return {{"workerHeartbeatEcho", to_json(m.objectStorageAddress)}};
          },
          [](const ClientDisconnect& m) -> json {
            return {{"clientDisconnect",
                     {{"disconnectType", enumerant(m.disconnectType, std::array{"disconnect", "shutdown"})}}}};
          },
          [](const ClientShutdownResponse& m) -> json {
            return {{"clientShutdownResponse", {{"accepted", m.accepted}}}};
          },
          [](const WorkerDisconnectNotification&) -> json {
            return {{"workerDisconnectNotification", json::object()}};
          },
          [](const UnknownMember& m) -> json { return {{"unknown member", m.number}}; },
      },
      message);
}

}  // namespace peer
