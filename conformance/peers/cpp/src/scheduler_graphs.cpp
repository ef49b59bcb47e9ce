// Graph tasks (SPEC.md, section 14): what the scheduler's machine does for nodes beyond what it does for every task.
#include <algorithm>
#include <utility>

#include "scheduler_machine.h"
#include "wire.h"

namespace peer::scheduler {
namespace {

constexpr bool is_owners_round(State state) {
  return state == State::canceling || state == State::escalated || state == State::forcing;
}

std::set<Bytes> dependencies_of(const Task& task) {
  std::set<Bytes> ids;
  for (const auto& argument : task.functionArgs)
    if (argument.type == ArgumentType::task) ids.insert(argument.data);
  return ids;
}

// Whether each node can come after all that it depends on.
bool has_cycle(const std::vector<Task>& graph) {
  std::map<Bytes, std::size_t> left;
  std::map<Bytes, std::vector<Bytes>> dependants;
  std::vector<Bytes> ready;
  for (const auto& task : graph) {
    const auto dependencies = dependencies_of(task);
    left[task.taskId] = dependencies.size();
    if (dependencies.empty()) ready.push_back(task.taskId);
    for (const auto& id : dependencies) dependants[id].push_back(task.taskId);
  }
  std::size_t ordered = 0;
  for (; !ready.empty(); ++ordered) {
    const Bytes id = ready.back();
    ready.pop_back();
    for (const auto& dependant : dependants[id])
      if (--left[dependant] == 0) ready.push_back(dependant);
  }
  return ordered < graph.size();
}

}  // namespace

// --- Acceptance (S12.1, S12.2).

void Machine::on_graph(const Bytes& client, const GraphTask& message, Time now) {
  const bool registered = register_client(client, now);
  const auto is_held = [&](const Bytes& id) { return registered && clients_[client].holds(id); };
  if (is_held(message.taskId)) return drop(client, "the id is in use", message.taskId);  // S1.4
  if (registered && !grace_ends_ && is_acceptable(client, message)) return accept(client, message);
  std::set<Bytes> answered{message.taskId};  // last, and once
  for (const auto& target : message.targets)
    if (is_task_id(target) && !is_held(target) && answered.insert(target).second) refuse(client, target);
  refuse(client, message.taskId);
}

bool Machine::is_acceptable(const Bytes& client, const GraphTask& message) const {
  const std::size_t room = options_.most_tasks_of_client - clients_.at(client).tasks.size();
  if (message.graph.size() > std::min(room, options_.most_nodes_of_graph)) return false;
  std::size_t bytes = clients_.at(client).bytes;
  for (const auto& task : message.graph) bytes += encode(task).size();
  if (bytes > options_.most_bytes_of_client) return false;
  std::set<Bytes> nodes;
  for (const auto& task : message.graph) {
    const bool in_use = tasks_.contains(task.taskId) || graphs_.contains(task.taskId);
    if (in_use || task.taskId == message.taskId || !nodes.insert(task.taskId).second) return false;
  }
  if (tasks_.contains(message.taskId) || graphs_.contains(message.taskId)) return false;
  const auto is_node = [&nodes](const Bytes& id) { return nodes.contains(id); };
  if (!std::all_of(message.targets.begin(), message.targets.end(), is_node)) return false;
  for (const auto& task : message.graph) {
    const auto dependencies = dependencies_of(task);
    if (!std::all_of(dependencies.begin(), dependencies.end(), is_node)) return false;
  }
  return !has_cycle(message.graph);
}

void Machine::accept(const Bytes& client, const GraphTask& message) {
  auto& graph = graphs_[message.taskId];
  graph.owner = client;
  clients_[client].graphs.insert(message.taskId);
  touched_graphs_.insert(message.taskId);  // an empty one is over already
  const std::set<Bytes> targets(message.targets.begin(), message.targets.end());
  std::map<Bytes, std::set<Bytes>> dependants;
  for (const auto& task : message.graph)
    for (const auto& id : dependencies_of(task)) dependants[id].insert(task.taskId);
  for (const auto& from : message.graph) {
    graph.nodes.insert(from.taskId);
    auto& task = tasks_[from.taskId];
    keep(task, from.taskId, client, encode(from));
    auto& node = task.node.emplace();
    node.graph = message.taskId;
    node.task = from;
    node.is_target = targets.contains(from.taskId);
    node.dependencies = dependencies_of(from);
    node.dependants = dependants[from.taskId];
    node.dependencies_left = node.dependencies.size();
    node.dependants_left = node.dependants.size();
    task.state = State::waiting;
    if (node.dependencies.empty()) apply(task, Event::ready);
  }
}

// --- Cancel (S12.12, S12.13).

void Machine::cancel_graph(const Bytes& id, bool force) {
  for (const auto& name : std::vector<Bytes>(graphs_.at(id).nodes.begin(), graphs_.at(id).nodes.end()))
    if (auto* task = held(name)) apply(*task, force ? Event::cancel_force : Event::cancel);
  graphs_.at(id).round_open = true;
  touched_graphs_.insert(id);
}

// --- What the transition of a node means for its graph.

void Machine::note_transition(HeldTask& task, Event event, const Row<State, Event, Action>& row, const NodeEnd& end) {
  auto& node = *task.node;
  if (event == Event::cancel_force) node.force = true;
  const auto graph = graphs_.find(node.graph);
  if (graph == graphs_.end()) return;  // forgotten, its owner is lost
  if (is_owners_round(row.next)) ++graph->second.rounds;
  if (is_owners_round(row.state)) --graph->second.rounds;
  touched_graphs_.insert(node.graph);
  if (row.next != State::ended) return;
  graph->second.nodes.erase(task.id);
  NodeEnd how = end;
  if (row.action == Action::failedWorkerDied_to_owner) {
    how = {.type = ResultType::failedWorkerDied};
  } else if (row.action != Action::the_failure_to_owner && event != Event::result) {
    how = {.confirmed = true, .by_cancel = event != Event::close, .force = node.force};
  }
  size_t bytes = 0;
  for (const auto& payload : how.results) bytes += payload.size();
  if (bytes > most_handed_on) how.results.clear();  // S12.6, S12.7
  if (how.confirmed)
    graph->second.cancelled = true;
  else if (!how.success() && !graph->second.failure)
    graph->second.failure = how.type;
  ended_nodes_.emplace_back(task.id, std::move(node), std::move(how));
}

// One after another and not one within another: a chain of dependants may be long.
void Machine::settle_graphs() {
  while (!ended_nodes_.empty()) {
    const auto [id, node, end] = std::move(ended_nodes_.front());
    ended_nodes_.pop_front();
    settle_dependants(node, end);
    settle_dependencies(node, end);
  }
  for (const auto& id : std::exchange(touched_graphs_, {})) {
    const auto found = graphs_.find(id);
    if (found == graphs_.end()) continue;
    auto& graph = found->second;
    if (graph.nodes.empty()) {  // S12.14
      if (graph.cancelled)
        send(graph.owner, TaskCancelConfirm{id, CancelConfirmType::canceled});
      else
        send(graph.owner, TaskResult{id, graph.failure.value_or(ResultType::success), {}, {}});
      clients_.at(graph.owner).graphs.erase(id);
      graphs_.erase(found);
    } else if (graph.round_open && graph.rounds == 0) {  // S12.13
      graph.round_open = false;
      send(graph.owner, TaskCancelConfirm{id, CancelConfirmType::cancelFailed});
    }
  }
}

void Machine::settle_dependants(const Node& node, const NodeEnd& end) {
  const bool hands_on = end.success() && end.results.size() == 1;
  for (const auto& id : node.dependants) {
    auto* dependant = live_node(node.graph, id);
    if (dependant == nullptr) continue;
    if (!hands_on) {  // S12.6, S12.7, S12.10
      end_as(*dependant, end.success() ? NodeEnd{.type = ResultType::failedWorkerDied} : end);
      continue;
    }
    auto& waiting = *dependant->node;
    const Bytes& dependency = node.task.taskId;
    for (auto& argument : waiting.task.functionArgs)
      if (argument.type == ArgumentType::task && argument.data == dependency)
        argument = {ArgumentType::objectID, end.results.front()};
    waiting.dependencies.erase(dependency);
    if (--waiting.dependencies_left > 0) continue;
    dependant->frame = encode(waiting.task);
    apply(*dependant, Event::ready);
  }
}

void Machine::settle_dependencies(const Node& node, const NodeEnd& end) {
  for (const auto& id : node.dependencies) {
    auto* dependency = live_node(node.graph, id);
    if (dependency == nullptr) continue;
    auto& other = *dependency->node;
    if (--other.dependants_left > 0 || other.is_target || grace_ends_) continue;
    other.unneeded = end;
    const bool has_worker = !dependency->holder.empty();
    if (!has_worker || (end.confirmed && end.by_cancel)) end_as(*dependency, end);  // S12.9, S12.11
  }
}

// As the other node that ended so: by a cancel, by a shutdown, or with its failure.
void Machine::end_as(HeldTask& node, const NodeEnd& end) {
  if (!end.confirmed) {
    apply(node, Event::skip, encode(TaskResult{node.id, end.type, {}, end.results}), end);
  } else if (end.by_cancel) {
    apply(node, end.force ? Event::cancel_force : Event::cancel);
  } else {
    apply(node, Event::close);
  }
}

Machine::HeldTask* Machine::live_node(const Bytes& graph, const Bytes& id) {
  const auto found = graphs_.find(graph);
  return found != graphs_.end() && found->second.nodes.contains(id) ? held(id) : nullptr;
}

}  // namespace peer::scheduler
