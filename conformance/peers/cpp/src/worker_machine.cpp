#include "worker_machine.h"

#include <algorithm>
#include <utility>

#include "wire.h"

namespace peer::worker {

Machine::Machine(Options options, Time now) : options_(std::move(options)), heard_(now) { heartbeat(now); }

std::vector<Output> Machine::take_outputs() { return std::exchange(outputs_, {}); }

// --- What comes.

void Machine::receive(const Bytes& frame, Time now) {
  if (phase_ == Phase::lost) return;
  Message message;
  try {
    message = decode(frame);
  } catch (const Malformed& error) {
    outputs_.emplace_back(Dropped{std::string("malformed: ") + error.what()});
    return;
  }
  heard_ = now;
  std::visit(Overloaded{
                 [&](const Task& m) { on_task(m); },
                 [&](const TaskCancel& m) { on_cancel(m); },
                 [&](const WorkerHeartbeatEcho& m) {
                   storage_ = options_.storage.value_or(m.objectStorageAddress);
                   if (std::exchange(awaits_echo_, false)) latency_ = now - last_heartbeat_;
                 },
                 [&](const ClientDisconnect& m) { on_disconnect(m); },
                 [](const ObjectInstruction&) {},
                 [&](const auto&) { outputs_.emplace_back(Dropped{"not for a worker"}); },
             },
             message);
  start_what_fits();
}

void Machine::on_task(const Task& task) {
  if (phase_ != Phase::serving) return outputs_.push_back(Dropped{"a task for a worker that leaves"});       // W4.1
  if (held_.contains(task.taskId)) return outputs_.push_back(Dropped{"a task under an id that is held"});  // W1.3
  held_[task.taskId].task = task;
  queue_.push_back(task.taskId);
}

void Machine::on_cancel(const TaskCancel& cancel) {
  const auto found = held_.find(cancel.taskId);
  if (found == held_.end()) return send(TaskCancelConfirm{cancel.taskId, CancelConfirmType::cancelNotFound});  // W2.4
  apply(found->second, cancel.force ? Event::cancel_force : Event::cancel);
}

void Machine::on_disconnect(const ClientDisconnect& message) {
  end_life(message.disconnectType == DisconnectType::shutdown ? Phase::leaving : Phase::lost);  // W4.2, W4.3
}

void Machine::finished(const Bytes& task_id, ResultType type, const std::vector<Bytes>& results) {
  const auto found = held_.find(task_id);
  if (found == held_.end()) return;
  const TaskResult result{task_id, type, {}, results};
  apply(found->second, Event::finished, &result);
}

void Machine::process_ended(const Bytes& task_id) {
  --occupied_;
  if (const auto found = held_.find(task_id); found != held_.end()) {
    outputs_.emplace_back(Release{task_id});  // before any word about it: half a result may be there (W2.5)
    apply(found->second, Event::process_ended);
  }
  start_what_fits();
  end_if_nothing_runs();
}

// --- The table.

void Machine::apply(Assignment& assignment, Event event, const peer::TaskResult* result) {
  const auto row = find(table, assignment.state, event);
  if (!row) return;
  const Bytes id = assignment.task.taskId;
  if (assignment.state == State::queued) std::erase(queue_, id);
  assignment.state = row->next;
  switch (row->action) {
    case Action::nothing: break;
    case Action::start_it:
      ++occupied_;
      outputs_.emplace_back(Start{assignment.task, *storage_});
      break;
    case Action::end_its_process: outputs_.emplace_back(End{id}); break;
    case Action::TaskCancelConfirm_canceled: send(TaskCancelConfirm{id, CancelConfirmType::canceled}); break;
    case Action::TaskCancelConfirm_cancelFailed: send(TaskCancelConfirm{id, CancelConfirmType::cancelFailed}); break;
    case Action::TaskResult: send(*result); break;
    case Action::TaskResult_failedWorkerDied: send(peer::TaskResult{id, ResultType::failedWorkerDied, {}, {}}); break;
  }
  if (row->next == State::ended) held_.erase(id);
}

// Tasks may come before the first echo: they wait until it has said where their payloads are.
void Machine::start_what_fits() {
  while (phase_ == Phase::serving && storage_ && occupied_ < options_.processes && !queue_.empty())
    apply(held_.at(queue_.front()), Event::start);
}

// --- The end.

void Machine::leave() { end_life(Phase::leaving); }

void Machine::connection_dropped() { end_life(Phase::lost); }

void Machine::end_life(Phase phase) {
  if (phase_ == Phase::lost || phase_ == phase) return;
  phase_ = phase;
  std::vector<Bytes> all;
  for (const auto& [id, assignment] : held_) all.push_back(id);
  for (const auto& id : all) apply(held_.at(id), Event::leave);
  end_if_nothing_runs();
}

void Machine::end_if_nothing_runs() {
  if (phase_ == Phase::serving || occupied_ > 0 || over_) return;
  over_ = true;
  if (phase_ == Phase::leaving) send(WorkerDisconnectNotification{});
}

// --- Time.

void Machine::tick(Time now) {
  if (phase_ == Phase::lost) return;
  if (now - heard_ > options_.scheduler_timeout) return end_life(Phase::lost);  // W5.2
  if (now - last_heartbeat_ >= options_.heartbeat_interval && !over_) heartbeat(now);
}

void Machine::heartbeat(Time now) {
  last_heartbeat_ = now;
  awaits_echo_ = true;
  WorkerHeartbeat beat;
  beat.queueSize = options_.queue_size;
  beat.queuedTasks = static_cast<std::uint32_t>(queue_.size());
  beat.latencyMicroseconds =
      static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(latency_).count());
  beat.hostname = options_.hostname;
  send(beat);
}

void Machine::send(const Message& message) { outputs_.emplace_back(Send{encode(message)}); }

}  // namespace peer::worker
