// The scheduler's decisions (SPEC.md, section 4), without sockets and clocks: messages and moments go in, messages come
// out. Not thread-safe. Graphs (section 14) are in scheduler_graphs.cpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>

#include "messages.h"
#include "scheduler_table.h"

namespace peer::scheduler {

using Time = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

struct Options {
  ObjectStorageAddress storage{};
  Duration worker_timeout = std::chrono::seconds(60);
  Duration client_timeout = std::chrono::seconds(60);
  Duration grace = std::chrono::seconds(5);
  // How often tasks may be moved to a worker that has nothing (S7.1); zero: never.
  Duration rebalance_interval = std::chrono::seconds(1);
  // Whether a client's ClientDisconnect `shutdown` shuts down (S11.6).
  bool accept_shutdown = true;
  // The loss of so many holders ends a task with failedWorkerDied (S9.4).
  int most_losses = 3;
  std::size_t most_tasks_of_client = 1'000'000;
  std::size_t most_bytes_of_client = std::size_t{1} << 30;  // of the frames of those tasks
  std::uint32_t most_tasks_of_worker = 10'000;  // whatever its queueSize
  std::size_t most_nodes_of_graph = 10'000;
  std::size_t most_peers_of_role = 10'000;
  std::size_t most_lost_remembered = 4096;
  // A tick that comes later than this after the one before shows that the scheduler itself was held up (S9.1).
  Duration held_up = std::chrono::seconds(1);
};

// What the machine wants done, in this order.
struct Send {
  Bytes peer;
  Bytes frame;
};
struct Dropped {
  Bytes peer;
  std::string reason;
  Bytes task_id;  // empty if there is none
};
using Output = std::variant<Send, Dropped>;

// Ids that stay lost; the oldest are forgotten (S9.6, S9.8). For each, how often it was told so.
class LostPeers {
 public:
  explicit LostPeers(std::size_t most) : most_(most) {}
  void add(const Bytes& peer);
  bool contains(const Bytes& peer) const { return told_.contains(peer); }
  int tell(const Bytes& peer) { return told_.at(peer)++; }

 private:
  std::size_t most_;
  std::unordered_map<Bytes, int> told_;
  std::deque<Bytes> order_;
};

inline constexpr size_t most_handed_on = 255;  // bytes of payload ids (S12.6)

// How a node has ended.
struct NodeEnd {
  bool confirmed = false;  // with a TaskCancelConfirm; otherwise with a TaskResult of this type and these payloads
  ResultType type{};
  std::vector<Bytes> results{};
  bool by_cancel = false;  // of the owner, with this force
  bool force = false;
  bool success() const { return !confirmed && type == ResultType::success; }
};

class Machine {
 public:
  explicit Machine(Options options);

  // One message of one frame. What is malformed is dropped (M1).
  void receive(const Bytes& peer, const Bytes& frame, Time now);
  // A message that was not exactly one frame (M1).
  void receive_misframed(const Bytes& peer);
  // Time has passed. Call it often, and only when everything that has arrived has been handed in (S9.1).
  void tick(Time now);
  // Shut down in order (S9.10). Serve on until is_over().
  void shut_down(Time now);
  bool is_over() const { return over_; }

  // What is to be done since this was asked last.
  std::vector<Output> take_outputs();

 private:
  // What is particular to a task of a graph. Of its dependencies and dependants those count that have not ended.
  struct Node {
    Bytes graph{};
    Task task{};  // as the next dispatch will send it
    bool is_target = false;
    bool force = false;  // a cancel with force has been asked for
    std::set<Bytes> dependencies{};
    std::set<Bytes> dependants{};
    std::size_t dependencies_left = 0;
    std::size_t dependants_left = 0;
    std::optional<NodeEnd> unneeded{};  // how the last of its dependants has ended, if none is left (S12.9)
  };
  struct Graph {
    Bytes owner{};
    std::set<Bytes> nodes{};  // those that have not ended
    bool cancelled = false;   // a node has ended with a TaskCancelConfirm
    std::optional<ResultType> failure{};  // the first (S12.14)
    std::size_t rounds = 0;   // nodes with an owner's round open
    bool round_open = false;  // of the graph (S12.13)
  };
  struct HeldTask {
    Bytes id{};
    Bytes owner{};
    Bytes frame{};  // the Task as it came: it is forwarded so at every dispatch (S1.5)
    std::size_t weight = 0;  // bytes of it at first, which count for its owner
    State state = State::queued;
    Bytes holder{};  // empty unless a worker has it
    int losses = 0;
    bool stays = false;  // its holder has refused to give it back, so that it is not asked again
    std::uint64_t place_in_queue = 0;
    std::optional<Node> node{};
  };
  struct Client {
    Time heard{};
    std::set<Bytes> tasks{};  // nodes are among them
    std::size_t bytes = 0;    // their weight
    std::set<Bytes> graphs{};
    bool holds(const Bytes& id) const { return tasks.contains(id) || graphs.contains(id); }
  };
  struct Worker {
    Time heard{};
    std::uint32_t queue_size = 0;
    std::set<Bytes> tasks{};
    bool has_room() const { return tasks.size() < queue_size; }
  };

  // Messages, by role. Each is called with the frame, where it may be forwarded.
  void on_client(const Bytes& peer, const Message& message, const Bytes& frame, Time now);
  void on_worker(const Bytes& peer, const Message& message, const Bytes& frame, Time now);
  void on_task(const Bytes& client, const Task& message, const Bytes& frame, Time now);
  void on_graph(const Bytes& client, const GraphTask& message, Time now);
  void on_cancel(const Bytes& client, const TaskCancel& message);
  void on_client_heartbeat(const Bytes& client, Time now);
  void on_client_disconnect(const Bytes& client, const ClientDisconnect& message, Time now);
  void on_worker_heartbeat(const Bytes& worker, const WorkerHeartbeat& message, Time now);
  void on_confirm(const Bytes& worker, const TaskCancelConfirm& message, const Bytes& frame);
  void on_result(const Bytes& worker, const TaskResult& message, const Bytes& frame);
  void on_log(const Bytes& worker, const TaskLog& message, const Bytes& frame);

  // The table. False if the pair of state and event is not listed. `answer` is the holder's message, or
  // the failure, and `end` what it says. A task that has ended is gone: the reference is not valid any more.
  bool apply(HeldTask& task, Event event, const Bytes& answer = {}, const NodeEnd& end = {});
  void act(const HeldTask& task, Action action, const Bytes& answer);
  void enter(HeldTask& task, State next);
  void leave_holder(HeldTask& task);

  // Graphs. What the end of a node means for others is done by settle_graphs(), before the step is over.
  bool is_acceptable(const Bytes& client, const GraphTask& message) const;
  void accept(const Bytes& client, const GraphTask& message);
  void cancel_graph(const Bytes& id, bool force);
  void note_transition(HeldTask& task, Event event, const Row<State, Event, Action>& row, const NodeEnd& end);
  void settle_graphs();
  void settle_dependants(const Node& node, const NodeEnd& end);
  void settle_dependencies(const Node& node, const NodeEnd& end);
  void end_as(HeldTask& node, const NodeEnd& end);
  HeldTask* live_node(const Bytes& graph, const Bytes& id);

  bool register_client(const Bytes& client, Time now);
  void lose_client(const Bytes& client, bool by_silence);
  void lose_worker(const Bytes& worker);
  void place();
  void rebalance();
  void finish();

  void send(const Bytes& peer, const Message& message);
  void drop(const Bytes& peer, std::string reason, Bytes task_id = {});
  void refuse(const Bytes& client, const Bytes& id);
  void keep(HeldTask& task, const Bytes& id, const Bytes& owner, Bytes frame);
  HeldTask* held(const Bytes& id);
  HeldTask* held_by(const Bytes& worker, const Bytes& id);

  Options options_;
  std::unordered_map<Bytes, HeldTask> tasks_{};
  std::unordered_map<Bytes, Graph> graphs_{};
  std::deque<std::tuple<Bytes, Node, NodeEnd>> ended_nodes_{};  // by their ids
  std::set<Bytes> touched_graphs_{};
  std::map<std::uint64_t, Bytes> queue_{};  // by place, so that a cancel need not search (S3.2)
  std::uint64_t next_place_ = 0;
  std::map<Bytes, Client> clients_{};
  std::map<Bytes, Worker> workers_{};
  LostPeers lost_clients_;
  LostPeers lost_workers_;
  std::optional<Time> last_tick_{};
  std::optional<Time> last_rebalancing_{};
  std::optional<Time> grace_ends_{};
  bool over_ = false;
  std::vector<Output> outputs_{};
};

}  // namespace peer::scheduler
