#include "wire.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <message.capnp.h>

#include <cstring>
#include <type_traits>

// The generated code is in the global namespace: ::Task is Cap'n Proto's, Task is ours.

namespace peer {
namespace {

constexpr std::size_t word_size = sizeof(capnp::word);
constexpr std::uint64_t most_segments = 512;
// How much further than the frame's own words its pointers may lead (SPEC.md, section 10): a short list of elements
// that take no room counts as more than it is.
constexpr std::uint64_t words_beyond = 64;

// --- Reading. Each field is read exactly once: Cap'n Proto charges each reading of a pointer to the limit of M1.

Bytes bytes_of(capnp::Data::Reader data) { return {data.asChars().begin(), data.size()}; }

Bytes task_id_of(capnp::Data::Reader data) {
  Bytes id = bytes_of(data);
  if (!is_task_id(id)) throw Malformed("a task id is empty or longer than 255 bytes");
  return id;
}

// Well-formed as RFC 3629 says: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(const std::string& text) {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = at + text.size();
  while (at != end) {
    const unsigned first = *at++;
    if (first < 0x80) continue;
    const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4 || end - at < more) return false;
    const unsigned second = *at;
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
        (first == 0xF4 && second > 0x8F))
      return false;
    for (int i = 0; i < more; ++i)
      if ((*at++ & 0xC0U) != 0x80) return false;
  }
  return true;
}

std::string text_of(capnp::Text::Reader text) {
  std::string value(text.begin(), text.size());
  if (!is_utf8(value)) throw Malformed("a text is not UTF-8");
  return value;
}

template <class List, class Read>
auto list_of(const List& list, Read read) {
  std::vector<std::invoke_result_t<Read, decltype(list[0])>> values;
  for (auto element : list) values.push_back(read(element));
  return values;
}

template <class Ours, class Theirs>
Ours enumerant(Theirs value) {
  return static_cast<Ours>(static_cast<std::uint16_t>(value));
}

Argument read(::Task::Argument::Reader from) {
  return {enumerant<ArgumentType>(from.getType()), bytes_of(from.getData())};
}

Capability read(::Capability::Reader from) { return {text_of(from.getName()), from.getValue()}; }

Task read(::Task::Reader from) {
  return {task_id_of(from.getTaskId()),
          bytes_of(from.getSource()),
          bytes_of(from.getMetadata()),
          bytes_of(from.getFuncObjectId()),
          list_of(from.getFunctionArgs(), [](auto argument) { return read(argument); }),
          list_of(from.getCapabilities(), [](auto capability) { return read(capability); })};
}

TaskCancel read(::TaskCancel::Reader from) { return {task_id_of(from.getTaskId()), from.getFlags().getForce()}; }

TaskCancelConfirm read(::TaskCancelConfirm::Reader from) {
  return {task_id_of(from.getTaskId()), enumerant<CancelConfirmType>(from.getCancelConfirmType())};
}

TaskResult read(::TaskResult::Reader from) {
  return {task_id_of(from.getTaskId()), enumerant<ResultType>(from.getResultType()), bytes_of(from.getMetadata()),
          list_of(from.getResults(), [](auto id) { return bytes_of(id); })};
}

TaskLog read(::TaskLog::Reader from) {
  return {task_id_of(from.getTaskId()), enumerant<LogType>(from.getLogType()), text_of(from.getContent())};
}

GraphTask read(::GraphTask::Reader from) {
  return {task_id_of(from.getTaskId()), bytes_of(from.getSource()),
          list_of(from.getTargets(), [](auto id) { return bytes_of(id); }),
          list_of(from.getGraph(), [](auto task) { return read(task); })};
}

Resource read(::Resource::Reader from) { return {from.getCpu(), from.getRss()}; }

ObjectStorageAddress read(::ObjectStorageAddress::Reader from) {
  return {text_of(from.getHost()), from.getPort(), text_of(from.getScheme())};
}

ClientHeartbeat read(::ClientHeartbeat::Reader from) {
  return {read(from.getResource()), from.getLatencyMicroseconds(), text_of(from.getHostname())};
}

ProcessorStatus read(::ProcessorStatus::Reader from) {
  return {from.getPid(),
          from.getInitialized(),
          from.getHasTask(),
          from.getSuspended(),
          read(from.getResource()),
          bytes_of(from.getCurrentTaskId()),
          from.getTaskAgeSeconds()};
}

WorkerHeartbeat read(::WorkerHeartbeat::Reader from) {
  return {read(from.getAgent()),
          from.getRssFree(),
          from.getQueueSize(),
          from.getQueuedTasks(),
          from.getLatencyMicroseconds(),
          from.getTaskLock(),
          list_of(from.getProcessors(), [](auto processor) { return read(processor); }),
          list_of(from.getCapabilities(), [](auto capability) { return read(capability); }),
          bytes_of(from.getWorkerManagerID()),
          from.getMemLimit(),
          text_of(from.getHostname()),
          from.getNetSentBytes(),
          from.getNetRecvBytes()};
}

Message read(::Message::Reader from) {
  switch (from.which()) {
    case ::Message::TASK: return read(from.getTask());
    case ::Message::TASK_CANCEL: return read(from.getTaskCancel());
    case ::Message::TASK_CANCEL_CONFIRM: return read(from.getTaskCancelConfirm());
    case ::Message::TASK_RESULT: return read(from.getTaskResult());
    case ::Message::TASK_LOG: return read(from.getTaskLog());
    case ::Message::GRAPH_TASK: return read(from.getGraphTask());
    case ::Message::OBJECT_INSTRUCTION: from.getObjectInstruction(); return ObjectInstruction{};
    case ::Message::CLIENT_HEARTBEAT: return read(from.getClientHeartbeat());
    case ::Message::CLIENT_HEARTBEAT_ECHO:
      return ClientHeartbeatEcho{read(from.getClientHeartbeatEcho().getObjectStorageAddress())};
    case ::Message::WORKER_HEARTBEAT: return read(from.getWorkerHeartbeat());
    case ::Message::WORKER_HEARTBEAT_ECHO:
      return WorkerHeartbeatEcho{read(from.getWorkerHeartbeatEcho().getObjectStorageAddress())};
    case ::Message::CLIENT_DISCONNECT:
      return ClientDisconnect{enumerant<DisconnectType>(from.getClientDisconnect().getDisconnectType())};
    case ::Message::CLIENT_SHUTDOWN_RESPONSE:
      return ClientShutdownResponse{from.getClientShutdownResponse().getAccepted()};
    case ::Message::WORKER_DISCONNECT_NOTIFICATION:
      from.getWorkerDisconnectNotification();
      return WorkerDisconnectNotification{};
    default: return UnknownMember{static_cast<std::uint16_t>(from.which())};
  }
}

// The segment table must account for every byte: the library would not mind what comes after the message.
void check_table(const Bytes& frame) {
  if (frame.empty()) throw Malformed("an empty frame");
  if (frame.size() > longest_frame) throw Malformed("a frame longer than 16 MiB");
  const auto number = [&frame](std::uint64_t index) -> std::uint64_t {
    std::uint32_t value = 0;
    if ((index + 1) * sizeof value > frame.size()) throw Malformed("a frame that is cut off in its segment table");
    std::memcpy(&value, frame.data() + index * sizeof value, sizeof value);
    return value;
  };
  const std::uint64_t segments = number(0) + 1;
  if (segments > most_segments) throw Malformed("more than 512 segments");
  std::uint64_t words = segments / 2 + 1;  // the table, filled up to a whole word
  for (std::uint64_t segment = 1; segment <= segments; ++segment) words += number(segment);
  if (words * word_size > frame.size()) throw Malformed("a frame that is cut off");
  if (words * word_size < frame.size()) throw Malformed("bytes after the message");
}

// --- Writing.

capnp::Data::Reader data(const Bytes& bytes) {
  return {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()};
}

capnp::Text::Reader text(const std::string& value) { return {value.c_str(), value.size()}; }

template <class Values, class List, class Write>
void write_list(const Values& values, List list, Write write) {
  for (unsigned i = 0; i < list.size(); ++i) write(values[i], list, i);
}

unsigned count(const auto& values) { return static_cast<unsigned>(values.size()); }

void write(const Argument& from, ::Task::Argument::Builder to);
void write(const Capability& from, ::Capability::Builder to);
void write(const Task& from, ::Task::Builder to);
void write(const ProcessorStatus& from, ::ProcessorStatus::Builder to);

constexpr auto write_data = [](const Bytes& value, auto& list, unsigned i) { list.set(i, data(value)); };
constexpr auto write_struct = [](const auto& value, auto& list, unsigned i) { write(value, list[i]); };

void write(const Argument& from, ::Task::Argument::Builder to) {
  to.setType(enumerant<::Task::Argument::Type>(from.type));
  to.setData(data(from.data));
}

void write(const Capability& from, ::Capability::Builder to) {
  to.setName(text(from.name));
  to.setValue(from.value);
}

void write(const Task& from, ::Task::Builder to) {
  to.setTaskId(data(from.taskId));
  to.setSource(data(from.source));
  to.setMetadata(data(from.metadata));
  to.setFuncObjectId(data(from.funcObjectId));
  write_list(from.functionArgs, to.initFunctionArgs(count(from.functionArgs)), write_struct);
  write_list(from.capabilities, to.initCapabilities(count(from.capabilities)), write_struct);
}

void write(const TaskCancel& from, ::TaskCancel::Builder to) {
  to.setTaskId(data(from.taskId));
  to.initFlags().setForce(from.force);
}

void write(const TaskCancelConfirm& from, ::TaskCancelConfirm::Builder to) {
  to.setTaskId(data(from.taskId));
  to.setCancelConfirmType(enumerant<::CancelConfirmType>(from.cancelConfirmType));
}

void write(const TaskResult& from, ::TaskResult::Builder to) {
  to.setTaskId(data(from.taskId));
  to.setResultType(enumerant<::TaskResult::ResultType>(from.resultType));
  to.setMetadata(data(from.metadata));
  write_list(from.results, to.initResults(count(from.results)), write_data);
}

void write(const TaskLog& from, ::TaskLog::Builder to) {
  to.setTaskId(data(from.taskId));
  to.setLogType(enumerant<::TaskLog::Type>(from.logType));
  to.setContent(text(from.content));
}

void write(const GraphTask& from, ::GraphTask::Builder to) {
  to.setTaskId(data(from.taskId));
  to.setSource(data(from.source));
  write_list(from.targets, to.initTargets(count(from.targets)), write_data);
  write_list(from.graph, to.initGraph(count(from.graph)), write_struct);
}

void write(const Resource& from, ::Resource::Builder to) {
  to.setCpu(from.cpu);
  to.setRss(from.rss);
}

void write(const ObjectStorageAddress& from, ::ObjectStorageAddress::Builder to) {
  to.setHost(text(from.host));
  to.setPort(from.port);
  to.setScheme(text(from.scheme));
}

void write(const ClientHeartbeat& from, ::ClientHeartbeat::Builder to) {
  write(from.resource, to.initResource());
  to.setLatencyMicroseconds(from.latencyMicroseconds);
  to.setHostname(text(from.hostname));
}

void write(const ProcessorStatus& from, ::ProcessorStatus::Builder to) {
  to.setPid(from.pid);
  to.setInitialized(from.initialized);
  to.setHasTask(from.hasTask);
  to.setSuspended(from.suspended);
  write(from.resource, to.initResource());
  to.setCurrentTaskId(data(from.currentTaskId));
  to.setTaskAgeSeconds(from.taskAgeSeconds);
}

void write(const WorkerHeartbeat& from, ::WorkerHeartbeat::Builder to) {
  write(from.agent, to.initAgent());
  to.setRssFree(from.rssFree);
  to.setQueueSize(from.queueSize);
  to.setQueuedTasks(from.queuedTasks);
  to.setLatencyMicroseconds(from.latencyMicroseconds);
  to.setTaskLock(from.taskLock);
  write_list(from.processors, to.initProcessors(count(from.processors)), write_struct);
  write_list(from.capabilities, to.initCapabilities(count(from.capabilities)), write_struct);
  to.setWorkerManagerID(data(from.workerManagerID));
  to.setMemLimit(from.memLimit);
  to.setHostname(text(from.hostname));
  to.setNetSentBytes(from.netSentBytes);
  to.setNetRecvBytes(from.netRecvBytes);
}

}  // namespace

Message decode(const Bytes& frame) {
  check_table(frame);
  // A frame of ZeroMQ's need not lie at the address of a word.
  auto words = kj::heapArray<capnp::word>(frame.size() / word_size);
  std::memcpy(words.begin(), frame.data(), frame.size());
  capnp::ReaderOptions limits;
  limits.traversalLimitInWords = words.size() + words_beyond;
  limits.nestingLimit = 64;
  try {
    capnp::FlatArrayMessageReader reader(words, limits);
    return read(reader.getRoot<::Message>());
  } catch (const kj::Exception& error) {
    throw Malformed(error.getDescription().cStr());
  }
}

Bytes encode(const Message& message) {
  capnp::MallocMessageBuilder builder;
  auto root = builder.initRoot<::Message>();
  std::visit(
      Overloaded{
          [&](const Task& m) { write(m, root.initTask()); },
          [&](const TaskCancel& m) { write(m, root.initTaskCancel()); },
          [&](const TaskCancelConfirm& m) { write(m, root.initTaskCancelConfirm()); },
          [&](const TaskResult& m) { write(m, root.initTaskResult()); },
          [&](const TaskLog& m) { write(m, root.initTaskLog()); },
          [&](const GraphTask& m) { write(m, root.initGraphTask()); },
          [&](const ObjectInstruction&) { root.initObjectInstruction(); },
          [&](const ClientHeartbeat& m) { write(m, root.initClientHeartbeat()); },
          [&](const ClientHeartbeatEcho& m) {
            write(m.objectStorageAddress, root.initClientHeartbeatEcho().initObjectStorageAddress());
          },
          [&](const WorkerHeartbeat& m) { write(m, root.initWorkerHeartbeat()); },
          [&](const WorkerHeartbeatEcho& m) {
            write(m.objectStorageAddress, root.initWorkerHeartbeatEcho().initObjectStorageAddress());
          },
          [&](const ClientDisconnect& m) {
            root.initClientDisconnect().setDisconnectType(enumerant<::ClientDisconnect::Type>(m.disconnectType));
          },
          [&](const ClientShutdownResponse& m) { root.initClientShutdownResponse().setAccepted(m.accepted); },
          [&](const WorkerDisconnectNotification&) { root.initWorkerDisconnectNotification(); },
          [](const UnknownMember&) { throw std::invalid_argument("a member that is not known cannot be encoded"); },
      },
      message);
  const auto words = capnp::messageToFlatArray(builder);
  const auto chars = words.asChars();
  return {chars.begin(), chars.size()};
}

}  // namespace peer
