#include "scheduler_machine.h"

#include <algorithm>
#include <utility>

#include "wire.h"

namespace peer::scheduler {

void LostPeers::add(const Bytes& peer) {
  if (!told_.emplace(peer, 0).second) return;
  order_.push_back(peer);
  if (order_.size() <= most_) return;
  told_.erase(order_.front());
  order_.pop_front();
}

Machine::Machine(Options options)
    : options_(std::move(options)),
      lost_clients_(options_.most_lost_remembered),
      lost_workers_(options_.most_lost_remembered) {}

std::vector<Output> Machine::take_outputs() { return std::exchange(outputs_, {}); }

// --- Messages.

void Machine::receive(const Bytes& peer, const Bytes& frame, Time now) {
  Message message;
  try {
    message = decode(frame);
  } catch (const Malformed& error) {
    return drop(peer, std::string("malformed: ") + error.what());
  }
  // The first message of a role decides the role; what belongs to the other is dropped from then on (S11.3).
  const bool is_worker = workers_.contains(peer);
  const bool is_client = clients_.contains(peer);
  if (is_worker) workers_[peer].heard = now;
  if (is_client) clients_[peer].heard = now;
  if (is_worker || lost_workers_.contains(peer)) {
    on_worker(peer, message, frame, now);
  } else if (is_client || lost_clients_.contains(peer) || !std::holds_alternative<WorkerHeartbeat>(message)) {
    on_client(peer, message, frame, now);
  } else {
    on_worker(peer, message, frame, now);
  }
  settle_graphs();
  place();
}

void Machine::receive_misframed(const Bytes& peer) { drop(peer, "malformed: not exactly one frame"); }

void Machine::on_client(const Bytes& peer, const Message& message, const Bytes& frame, Time now) {
  std::visit(Overloaded{
                 [&](const Task& m) { on_task(peer, m, frame, now); },
                 [&](const GraphTask& m) { on_graph(peer, m, now); },
                 [&](const TaskCancel& m) { on_cancel(peer, m); },
                 [&](const ClientHeartbeat&) { on_client_heartbeat(peer, now); },
                 [&](const ClientDisconnect& m) { on_client_disconnect(peer, m, now); },
                 [](const ObjectInstruction&) {},  // no account of payloads is kept here
                 [&](const auto&) { drop(peer, "not a client's message"); },
             },
             message);
}

void Machine::on_worker(const Bytes& peer, const Message& message, const Bytes& frame, Time now) {
  if (lost_workers_.contains(peer)) {
    if (!std::holds_alternative<WorkerHeartbeat>(message)) return drop(peer, "a lost worker's message");
    const bool first = lost_workers_.tell(peer) == 0;
    return send(peer, ClientDisconnect{first ? DisconnectType::disconnect : DisconnectType::shutdown});
  }
  std::visit(Overloaded{
                 [&](const WorkerHeartbeat& m) { on_worker_heartbeat(peer, m, now); },
                 [&](const TaskResult& m) { on_result(peer, m, frame); },
                 [&](const TaskCancelConfirm& m) { on_confirm(peer, m, frame); },
                 [&](const TaskLog& m) { on_log(peer, m, frame); },
                 [&](const WorkerDisconnectNotification&) { lose_worker(peer); },
                 [](const ObjectInstruction&) {},
                 [&](const auto&) { drop(peer, "not a worker's message"); },
             },
             message);
}

void Machine::on_task(const Bytes& client, const Task& message, const Bytes& frame, Time now) {
  const bool registered = register_client(client, now);
  if (const auto* other = held(message.taskId)) {
    // The terminal message of what this client already has under the id is still to come and will serve (S1.4).
    if (registered && other->owner == client && other->state != State::abandoned)
      return drop(client, "the id is in use", message.taskId);
    return refuse(client, message.taskId);
  }
  if (const auto graph = graphs_.find(message.taskId); graph != graphs_.end()) {
    if (graph->second.owner == client) return drop(client, "the id is in use", message.taskId);
    return refuse(client, message.taskId);
  }
  if (!registered || grace_ends_ || clients_[client].tasks.size() >= options_.most_tasks_of_client ||
      clients_[client].bytes + frame.size() > options_.most_bytes_of_client)
    return refuse(client, message.taskId);
  auto& task = tasks_[message.taskId];
  keep(task, message.taskId, client, frame);
  enter(task, State::queued);
}

void Machine::keep(HeldTask& task, const Bytes& id, const Bytes& owner, Bytes frame) {
  task.id = id;
  task.owner = owner;
  task.weight = frame.size();
  task.frame = std::move(frame);
  auto& client = clients_.at(owner);
  client.tasks.insert(id);
  client.bytes += task.weight;
}

void Machine::on_cancel(const Bytes& client, const TaskCancel& message) {
  if (const auto graph = graphs_.find(message.taskId); graph != graphs_.end() && graph->second.owner == client)
    return cancel_graph(message.taskId, message.force);
  auto* task = held(message.taskId);
  const bool owns = task != nullptr && task->owner == client && task->state != State::abandoned;
  if (!owns) return refuse(client, message.taskId);
  apply(*task, message.force ? Event::cancel_force : Event::cancel);
}

void Machine::on_client_heartbeat(const Bytes& client, Time now) {
  if (register_client(client, now)) return send(client, ClientHeartbeatEcho{options_.storage});
  send(client, ClientDisconnect{DisconnectType::disconnect});
}

void Machine::on_client_disconnect(const Bytes& client, const ClientDisconnect& message, Time now) {
  if (lost_clients_.contains(client)) return drop(client, "a lost client's message");
  if (message.disconnectType == DisconnectType::shutdown) {
    const bool accepted = options_.accept_shutdown || grace_ends_;
    send(client, ClientShutdownResponse{accepted});
    if (accepted) shut_down(now);
    return;
  }
  if (!clients_.contains(client)) return drop(client, "a good-bye of a client that is not registered");
  lose_client(client, false);
}

void Machine::on_worker_heartbeat(const Bytes& worker, const WorkerHeartbeat& message, Time now) {
  if (!workers_.contains(worker)) {
    if (grace_ends_) return send(worker, ClientDisconnect{DisconnectType::shutdown});
    if (workers_.size() >= options_.most_peers_of_role)
      return send(worker, ClientDisconnect{DisconnectType::disconnect});
    workers_[worker].heard = now;
  }
  workers_[worker].queue_size = std::min(message.queueSize, options_.most_tasks_of_worker);  // S11.5
  place();  // the echo comes after what the heartbeat brings, too
  send(worker, WorkerHeartbeatEcho{options_.storage});
}

void Machine::on_confirm(const Bytes& worker, const TaskCancelConfirm& message, const Bytes& frame) {
  auto* task = held_by(worker, message.taskId);
  if (task == nullptr) return drop(worker, "an answer of a worker that does not hold the task", message.taskId);
  Event event{};
  switch (message.cancelConfirmType) {
    case CancelConfirmType::canceled: event = Event::canceled; break;
    case CancelConfirmType::cancelFailed: event = Event::cancelFailed; break;
    case CancelConfirmType::cancelNotFound: event = Event::cancelNotFound; break;
    default: return drop(worker, "an unknown cancelConfirmType", message.taskId);  // M6
  }
  if (task->state == State::rebalancing && event == Event::cancelFailed) task->stays = true;
  if (!apply(*task, event, frame)) drop(worker, "an answer without an open round", message.taskId);  // S8.3
}

void Machine::on_result(const Bytes& worker, const TaskResult& message, const Bytes& frame) {
  auto* task = held_by(worker, message.taskId);
  if (task == nullptr) return drop(worker, "a result of a worker that does not hold the task", message.taskId);
  apply(*task, Event::result, frame, {.type = message.resultType, .results = message.results});
}

void Machine::on_log(const Bytes& worker, const TaskLog& message, const Bytes& frame) {
  const auto* task = held_by(worker, message.taskId);
  if (task == nullptr) return drop(worker, "a log of a worker that does not hold the task", message.taskId);
  if (task->state != State::abandoned) outputs_.push_back(Send{task->owner, frame});
}

// --- The table.

bool Machine::apply(HeldTask& task, Event event, const Bytes& answer, const NodeEnd& end) {
  const auto row = find(table, task.state, event);
  if (!row) return false;
  act(task, row->action, answer);
  if (task.node) note_transition(task, event, *row, end);
  enter(task, row->next);
  return true;
}

void Machine::act(const HeldTask& task, Action action, const Bytes& answer) {
  switch (action) {
    case Action::nothing: break;
    case Action::canceled_to_owner: send(task.owner, TaskCancelConfirm{task.id, CancelConfirmType::canceled}); break;
    case Action::Task_to_worker: outputs_.push_back(Send{task.holder, task.frame}); break;
    case Action::TaskCancel_to_worker: send(task.holder, TaskCancel{task.id, false}); break;
    case Action::TaskCancel_force_to_worker: send(task.holder, TaskCancel{task.id, true}); break;
    case Action::the_failure_to_owner:
    case Action::the_answer_to_owner: outputs_.push_back(Send{task.owner, answer}); break;
    case Action::failedWorkerDied_to_owner:
      send(task.owner, TaskResult{task.id, ResultType::failedWorkerDied, {}, {}});
      break;
  }
}

void Machine::enter(HeldTask& task, State next) {
  if (task.state == State::queued) queue_.erase(task.place_in_queue);
  task.state = next;
  if (next == State::abandoned) task.frame = {};  // nobody dispatches it again (S11.5)
  if (next == State::queued) {
    leave_holder(task);
    // What was placed before goes before what is new.
    if (task.place_in_queue == 0) task.place_in_queue = ++next_place_;
    queue_.emplace(task.place_in_queue, task.id);
    if (grace_ends_)
      apply(task, Event::close);
    else if (task.node && task.node->unneeded)
      end_as(task, NodeEnd(*task.node->unneeded));  // S12.9
  } else if (next == State::ended) {
    leave_holder(task);
    if (const auto owner = clients_.find(task.owner); owner != clients_.end() && owner->second.tasks.erase(task.id) > 0)
      owner->second.bytes -= task.weight;
    tasks_.erase(Bytes(task.id));  // a copy: the key must outlive what it erases
  }
}

void Machine::leave_holder(HeldTask& task) {
  if (const auto holder = workers_.find(task.holder); holder != workers_.end()) holder->second.tasks.erase(task.id);
  task.holder.clear();
  task.stays = false;
}

// --- Placement.

void Machine::place() {
  while (!queue_.empty()) {
    Worker* best = nullptr;
    const Bytes* name = nullptr;
    for (auto& [id, worker] : workers_)
      if (worker.has_room() && (best == nullptr || worker.tasks.size() < best->tasks.size())) {
        best = &worker;
        name = &id;
      }
    if (best == nullptr) return;
    auto& task = tasks_.at(queue_.begin()->second);
    task.holder = *name;
    best->tasks.insert(task.id);
    apply(task, Event::dispatch);
  }
}

// A worker that has nothing gets a task from one that has two or more, if that one can give it back (S7.1).
void Machine::rebalance() {
  std::size_t idle = 0;
  for (const auto& [id, worker] : workers_)
    if (worker.tasks.empty() && worker.queue_size > 0) ++idle;
  if (idle == 0) return;
  std::size_t on_their_way = 0;
  for (const auto& [id, worker] : workers_)
    for (const auto& task : worker.tasks)
      if (tasks_.at(task).state == State::rebalancing) ++on_their_way;
  for (auto& [id, worker] : workers_) {
    if (on_their_way >= idle) return;
    if (worker.tasks.size() < 2) continue;
    HeldTask* newest = nullptr;  // the least likely to have begun
    for (const auto& name : worker.tasks) {
      auto& task = tasks_.at(name);
      if (task.state != State::dispatched || task.stays) continue;
      if (newest == nullptr || task.place_in_queue > newest->place_in_queue) newest = &task;
    }
    if (newest == nullptr) continue;
    apply(*newest, Event::rebalance);
    ++on_their_way;
  }
}

// --- Peers come and go.

bool Machine::register_client(const Bytes& client, Time now) {
  if (lost_clients_.contains(client)) return false;
  if (clients_.contains(client)) return true;
  if (clients_.size() >= options_.most_peers_of_role) return false;
  clients_[client].heard = now;
  return true;
}

void Machine::lose_client(const Bytes& client, bool by_silence) {
  const auto tasks = std::exchange(clients_.at(client).tasks, {});
  const auto graphs = std::exchange(clients_.at(client).graphs, {});
  clients_.erase(client);
  lost_clients_.add(client);
  for (const auto& id : graphs) graphs_.erase(id);  // S12.18
  for (const auto& id : tasks) {
    auto& task = tasks_.at(id);
    task.node.reset();
    apply(task, Event::owner_lost);
    if (by_silence) refuse(client, id);  // S9.11: it may only have been paused
  }
  if (by_silence)
    for (const auto& id : graphs) refuse(client, id);
}

// One step: nothing else is decided before each of its tasks has its fate (S9.5).
void Machine::lose_worker(const Bytes& worker) {
  if (!workers_.contains(worker)) return drop(worker, "a good-bye of a worker that is not registered");
  const auto tasks = std::exchange(workers_.at(worker).tasks, {});
  workers_.erase(worker);
  lost_workers_.add(worker);
  for (const auto& id : tasks) {
    auto& task = tasks_.at(id);
    ++task.losses;
    if (grace_ends_)
      apply(task, Event::close);  // it cannot run any more (S9.10)
    else
      apply(task, task.losses >= options_.most_losses ? Event::worker_lost_again : Event::worker_lost);
  }
}

// --- Time.

void Machine::tick(Time now) {
  if (last_tick_ && now - *last_tick_ > options_.held_up) {
    // Held up: what the peers have sent meanwhile may not have been read yet. The time does not count as silence.
    for (auto& [id, client] : clients_) client.heard = std::max(client.heard, client.heard + (now - *last_tick_));
    for (auto& [id, worker] : workers_) worker.heard = std::max(worker.heard, worker.heard + (now - *last_tick_));
  }
  last_tick_ = now;
  std::vector<Bytes> silent;
  for (const auto& [id, worker] : workers_)
    if (now - worker.heard > options_.worker_timeout) silent.push_back(id);
  for (const auto& id : silent) lose_worker(id);
  silent.clear();
  for (const auto& [id, client] : clients_)
    if (now - client.heard > options_.client_timeout) silent.push_back(id);
  for (const auto& id : silent) lose_client(id, true);
  settle_graphs();
  place();
  const bool may_move = options_.rebalance_interval > Duration::zero() && !grace_ends_;
  if (may_move && (!last_rebalancing_ || now - *last_rebalancing_ >= options_.rebalance_interval)) {
    last_rebalancing_ = now;
    rebalance();
  }
  if (grace_ends_ && !over_ && (workers_.empty() || now >= *grace_ends_)) finish();
}

void Machine::shut_down(Time now) {
  if (grace_ends_) return;
  grace_ends_ = now + options_.grace;
  for (const auto& [id, worker] : workers_) send(id, ClientDisconnect{DisconnectType::shutdown});
  std::vector<Bytes> with_no_worker;
  for (const auto& [id, task] : tasks_)
    if (task.state == State::waiting || task.state == State::queued) with_no_worker.push_back(id);
  for (const auto& id : with_no_worker) apply(tasks_.at(id), Event::close);
  settle_graphs();
}

void Machine::finish() {
  over_ = true;
  std::vector<Bytes> left;
  for (const auto& [id, task] : tasks_) left.push_back(id);
  for (const auto& id : left) apply(tasks_.at(id), Event::close);
  settle_graphs();
}

// --- Words.

void Machine::send(const Bytes& peer, const Message& message) { outputs_.push_back(Send{peer, encode(message)}); }

void Machine::drop(const Bytes& peer, std::string reason, Bytes task_id) {
  outputs_.push_back(Dropped{peer, std::move(reason), std::move(task_id)});
}

void Machine::refuse(const Bytes& client, const Bytes& id) {
  send(client, TaskCancelConfirm{id, CancelConfirmType::cancelNotFound});
}

Machine::HeldTask* Machine::held(const Bytes& id) {
  const auto found = tasks_.find(id);
  return found == tasks_.end() ? nullptr : &found->second;
}

Machine::HeldTask* Machine::held_by(const Bytes& worker, const Bytes& id) {
  auto* task = held(id);
  return task != nullptr && !task->holder.empty() && task->holder == worker ? task : nullptr;
}

}  // namespace peer::scheduler
