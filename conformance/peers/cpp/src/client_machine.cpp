#include "client_machine.h"

#include <algorithm>
#include <utility>

#include "wire.h"

namespace peer::client {

Machine::Machine(Options options, Time now) : options_(std::move(options)), heard_(now) { heartbeat(now); }

std::vector<Output> Machine::take_outputs() { return std::exchange(outputs_, {}); }

// --- What the user asks for.

void Machine::submit(const Task& task) {
  futures_.try_emplace(task.taskId);
  if (over_) return apply(task.taskId, Event::disconnect);
  send(task);
}

bool Machine::cancel(const Bytes& task_id, bool force, Time deadline) {
  const auto found = futures_.find(task_id);
  if (found == futures_.end()) return false;
  auto& future = found->second;
  future.deadline = future.state == State::canceling ? std::min(future.deadline, deadline) : deadline;
  apply(task_id, force ? Event::cancel_force : Event::cancel);
  return true;
}

void Machine::disconnect() {
  if (over_) return;
  send(ClientDisconnect{DisconnectType::disconnect});
  end();
}

void Machine::scheduler_is_lost() { end(); }

void Machine::end() {
  over_ = true;
  std::vector<Bytes> all;
  for (const auto& [id, future] : futures_) all.push_back(id);
  for (const auto& id : all) apply(id, Event::disconnect);
}

// --- What comes.

void Machine::receive(const Bytes& frame, Time now) {
  if (over_) return;
  Message message;
  try {
    message = decode(frame);
  } catch (const Malformed& error) {
    outputs_.emplace_back(Dropped{std::string("malformed: ") + error.what()});
    return;
  }
  heard_ = now;
  std::visit(Overloaded{
                 [&](const TaskCancelConfirm& m) { on_confirm(m); },
                 [&](const TaskResult& m) { on_result(m); },
                 [&](const ClientHeartbeatEcho& m) {
                   storage_ = options_.storage.value_or(m.objectStorageAddress);
                   if (std::exchange(awaits_echo_, false)) latency_ = now - last_heartbeat_;
                 },
                 [&](const ClientDisconnect&) { end(); },  // it has declared this client lost (C10.2)
                 [](const TaskLog&) {},                    // this client shows no output of tasks
                 [](const ClientShutdownResponse&) {},     // it never asks
                 [](const ObjectInstruction&) {},
                 [&](const auto&) { outputs_.emplace_back(Dropped{"not for a client"}); },
             },
             message);
}

void Machine::on_confirm(const TaskCancelConfirm& confirm) {
  switch (confirm.cancelConfirmType) {
    case CancelConfirmType::canceled: return apply(confirm.taskId, Event::canceled);
    case CancelConfirmType::cancelFailed: return apply(confirm.taskId, Event::cancelFailed);
    case CancelConfirmType::cancelNotFound: return apply(confirm.taskId, Event::cancelNotFound);
    default: outputs_.emplace_back(Dropped{"an unknown cancelConfirmType"});  // M6
  }
}

void Machine::on_result(const TaskResult& result) {
  if (futures_.contains(result.taskId)) return apply(result.taskId, Event::result, &result);
  outputs_.emplace_back(Release{result.results});  // C9.2
}

// --- The table.

void Machine::apply(const Bytes& task_id, Event event, const peer::TaskResult* result) {
  const auto found = futures_.find(task_id);
  if (found == futures_.end()) return;  // not held, or settled: no error (C9.1)
  const auto row = find(table, found->second.state, event);
  if (!row) return;
  const Bytes id = task_id;
  found->second.state = row->next;
  if (row->next == State::canceling)
    canceling_.insert(id);
  else
    canceling_.erase(id);
  if (row->next == State::finished || row->next == State::cancelled) futures_.erase(found);
  switch (row->action) {
    case Action::TaskCancel: return send(peer::TaskCancel{id, false});
    case Action::TaskCancel_force: return send(peer::TaskCancel{id, true});
    case Action::join_the_round: return;
    case Action::deliver_the_result: outputs_.emplace_back(Finished{*result}); return;
    case Action::round_ends_refused: outputs_.emplace_back(Refused{id}); return;
    case Action::cancelled_confirmed: outputs_.emplace_back(Cancelled{id, Outcome::confirmed}); return;
    case Action::cancelled_not_found: outputs_.emplace_back(Cancelled{id, Outcome::not_found}); return;
    case Action::cancelled_timed_out: outputs_.emplace_back(Cancelled{id, Outcome::timed_out}); return;
    case Action::cancelled_disconnected: outputs_.emplace_back(Cancelled{id, Outcome::disconnected}); return;
    case Action::cancelled_result_discarded:
      outputs_.emplace_back(Release{result->results});
      outputs_.emplace_back(Cancelled{id, Outcome::result_discarded});
      return;
  }
}

// --- Time.

void Machine::tick(Time now) {
  if (over_) return;
  if (now - heard_ > options_.scheduler_timeout) return scheduler_is_lost();  // C10.2
  std::vector<Bytes> late;
  for (const auto& id : canceling_)
    if (now >= futures_.at(id).deadline) late.push_back(id);
  for (const auto& id : late) apply(id, Event::time_limit);
  if (now - last_heartbeat_ >= options_.heartbeat_interval) heartbeat(now);
}

Time Machine::next_moment() const {
  Time next = std::min(last_heartbeat_ + options_.heartbeat_interval, heard_ + options_.scheduler_timeout);
  for (const auto& id : canceling_) next = std::min(next, futures_.at(id).deadline);
  return next;
}

void Machine::heartbeat(Time now) {
  last_heartbeat_ = now;
  awaits_echo_ = true;
  const auto latency = std::chrono::duration_cast<std::chrono::microseconds>(latency_).count();
  send(ClientHeartbeat{{}, static_cast<std::uint32_t>(latency), options_.hostname});
}

void Machine::send(const Message& message) { outputs_.emplace_back(Send{encode(message)}); }

}  // namespace peer::client
