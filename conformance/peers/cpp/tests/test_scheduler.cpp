// The scheduler's machine, played by hand: what goes in is told, what comes out is compared.
#include "check.h"
#include "scheduler_machine.h"
#include "wire.h"

namespace testing::scheduler_tests {
namespace {

using namespace peer;
using namespace std::chrono_literals;
using scheduler::Machine;
using enum CancelConfirmType;

// A scheduler with the worker W and the client C, and what it has sent since it was asked last.
class Table {
 public:
  explicit Table(scheduler::Options options = {}) : machine(std::move(options)) {
    say("W", worker_heartbeat(10));
    say("C", ClientHeartbeat{});
    heard();
  }
  static WorkerHeartbeat worker_heartbeat(std::uint32_t queue_size) {
    WorkerHeartbeat beat;
    beat.queueSize = queue_size;
    return beat;
  }
  void say(const Bytes& peer, const Message& message) { machine.receive(peer, encode(message), now); }
  void pass(scheduler::Duration time) {
    now += time;
    machine.tick(now);
  }
  std::vector<std::pair<Bytes, Message>> heard() {
    std::vector<std::pair<Bytes, Message>> all;
    for (const auto& output : machine.take_outputs())
      if (const auto* send = std::get_if<scheduler::Send>(&output)) all.emplace_back(send->peer, decode(send->frame));
    return all;
  }

  scheduler::Time now{};
  Machine machine;
};

using Heard = std::vector<std::pair<Bytes, Message>>;

Task task(const Bytes& id) { return {id, "C", "metadata", "function", {}, {{"gpu", 1}}}; }

void a_task_runs_and_its_result_is_forwarded() {
  Table table;
  table.say("C", task("t"));
  CHECK(table.heard() == Heard{{"W", task("t")}});
  const TaskResult result{"t", ResultType::success, "remarks", {"payload"}};
  table.say("W", result);
  CHECK(table.heard() == Heard{{"C", result}});
  table.say("W", result);  // once more: nobody holds it
  CHECK(table.heard().empty());
  table.say("C", TaskCancel{"t", false});
  CHECK(table.heard() == Heard{{"C", TaskCancelConfirm{"t", cancelNotFound}}});
}

void a_queued_task_is_cancelled_at_once() {
  Table table;
  table.say("W", Table::worker_heartbeat(0));
  table.heard();
  table.say("C", task("t"));
  CHECK(table.heard().empty());
  table.say("C", TaskCancel{"t", false});
  CHECK(table.heard() == Heard{{"C", TaskCancelConfirm{"t", canceled}}});
  table.say("W", Table::worker_heartbeat(10));
  CHECK(table.heard() == Heard{{"W", WorkerHeartbeatEcho{}}});
}

void force_after_an_unforced_cancel_absorbs_one_refusal() {
  Table table;
  table.say("C", task("t"));
  table.say("C", TaskCancel{"t", false});
  table.say("C", TaskCancel{"t", true});
  table.say("C", TaskCancel{"t", true});
  CHECK(table.heard() == Heard{{"W", task("t")}, {"W", TaskCancel{"t", false}}, {"W", TaskCancel{"t", true}}});
  table.say("W", TaskCancelConfirm{"t", cancelFailed});
  CHECK(table.heard().empty());
  table.say("W", TaskCancelConfirm{"t", canceled});
  CHECK(table.heard() == Heard{{"C", TaskCancelConfirm{"t", canceled}}});
}

void a_stranger_changes_nothing() {
  Table table;
  table.say("C", task("t"));
  table.heard();
  table.say("D", TaskCancel{"t", true});
  CHECK(table.heard() == Heard{{"D", TaskCancelConfirm{"t", cancelNotFound}}});
  table.say("D", task("t"));
  CHECK(table.heard() == Heard{{"D", TaskCancelConfirm{"t", cancelNotFound}}});
  table.say("C", task("t"));  // held already: dropped, no second terminal message
  table.say("V", TaskResult{"t", ResultType::success, {}, {}});
  CHECK(table.heard().empty());
}

void a_lost_worker_gives_its_tasks_back_and_stays_lost() {
  Table table;
  table.say("C", task("asked"));
  table.say("C", task("other"));
  table.say("C", TaskCancel{"asked", false});
  table.heard();
  table.say("W", WorkerDisconnectNotification{});
  CHECK(table.heard() == Heard{{"C", TaskCancelConfirm{"asked", canceled}}});
  table.say("V", Table::worker_heartbeat(1));
  CHECK(table.heard() == Heard{{"V", task("other")}, {"V", WorkerHeartbeatEcho{}}});
  table.say("W", TaskResult{"other", ResultType::success, {}, {}});
  table.say("W", Table::worker_heartbeat(1));
  table.say("W", Table::worker_heartbeat(1));
  CHECK(table.heard() == Heard{{"W", ClientDisconnect{DisconnectType::disconnect}},
                               {"W", ClientDisconnect{DisconnectType::shutdown}}});
}

void silence_is_loss_unless_the_scheduler_was_held_up() {
  scheduler::Options options;
  options.client_timeout = options.worker_timeout = 10s;
  Table table(options);
  table.say("W", Table::worker_heartbeat(0));
  table.say("C", task("t"));
  table.heard();
  table.pass(0s);
  table.pass(1h);  // the scheduler was stopped: this is nobody's silence
  CHECK(table.heard().empty());
  for (int i = 0; i < 11; ++i) table.pass(1s);
  CHECK(table.heard() == Heard{{"C", TaskCancelConfirm{"t", cancelNotFound}}});
  table.say("C", ClientHeartbeat{});
  CHECK(table.heard() == Heard{{"C", ClientDisconnect{DisconnectType::disconnect}}});
}

void a_task_is_moved_to_a_worker_that_has_nothing() {
  scheduler::Options options;
  options.rebalance_interval = 1s;
  Table table(options);
  table.pass(0s);
  table.say("C", task("first"));
  table.say("C", task("second"));
  table.say("V", Table::worker_heartbeat(10));
  table.heard();
  table.pass(1s);
  CHECK(table.heard() == Heard{{"W", TaskCancel{"second", false}}});
  table.pass(1s);  // one round at a time
  CHECK(table.heard().empty());
  table.say("W", TaskCancelConfirm{"second", canceled});
  CHECK(table.heard() == Heard{{"V", task("second")}});
}

void an_orderly_shutdown_answers_for_everything() {
  scheduler::Options options;
  options.grace = 5s;
  Table table(options);
  table.say("W", Table::worker_heartbeat(1));
  table.say("C", task("held"));
  table.say("C", task("queued"));
  table.heard();
  table.machine.shut_down(table.now);
  CHECK(table.heard() == Heard{{"W", ClientDisconnect{DisconnectType::shutdown}},
                               {"C", TaskCancelConfirm{"queued", canceled}}});
  table.say("C", task("late"));
  CHECK(table.heard() == Heard{{"C", TaskCancelConfirm{"late", cancelNotFound}}});
  table.pass(1s);
  CHECK(!table.machine.is_over());
  table.pass(4s);
  CHECK(table.machine.is_over());
  CHECK(table.heard() == Heard{{"C", TaskCancelConfirm{"held", canceled}}});
}

Task node(const Bytes& id, const std::vector<Bytes>& dependencies) {
  Task one{id};
  for (const auto& dependency : dependencies) one.functionArgs.push_back({ArgumentType::task, dependency});
  return one;
}

void a_graph_runs_in_order_and_ends_last() {
  Table table;
  table.say("C", GraphTask{"g", "C", {"b"}, {node("b", {"a"}), node("a", {})}});
  CHECK(table.heard() == Heard{{"W", node("a", {})}});
  const TaskResult a{"a", ResultType::success, {}, {"payload"}};
  table.say("W", a);
  Task b = node("b", {});
  b.functionArgs.push_back({ArgumentType::objectID, "payload"});
  CHECK(table.heard() == Heard{{"C", a}, {"W", b}});
  const TaskResult result{"b", ResultType::success, {}, {}};
  table.say("W", result);
  CHECK(table.heard() == Heard{{"C", result}, {"C", TaskResult{"g", ResultType::success, {}, {}}}});
}

void a_chain_as_long_as_it_may_be_fails_at_once() {
  Table table;
  GraphTask graph{"g", "C", {}, {node("0", {})}};
  for (int i = 1; i < 10'000; ++i) graph.graph.push_back(node(std::to_string(i), {std::to_string(i - 1)}));
  table.say("C", graph);
  table.heard();
  table.say("W", TaskResult{"0", ResultType::failed, {}, {"error"}});
  const auto heard = table.heard();
  CHECK(heard.size() == 10'001);
  CHECK(heard.back().second == Message(TaskResult{"g", ResultType::failed, {}, {}}));
}

void a_graph_with_a_cycle_is_refused() {
  Table table;
  table.say("C", GraphTask{"g", "C", {"a", "a"}, {node("a", {"b"}), node("b", {"a"})}});
  CHECK(table.heard() ==
        Heard{{"C", TaskCancelConfirm{"a", cancelNotFound}}, {"C", TaskCancelConfirm{"g", cancelNotFound}}});
}

void a_cancel_of_a_graph_is_answered_once_for_each() {
  Table table;
  table.say("C", GraphTask{"g", "C", {"b"}, {node("a", {}), node("b", {"a"})}});
  table.heard();
  table.say("C", TaskCancel{"g", false});
  CHECK(table.heard() == Heard{{"W", TaskCancel{"a", false}}, {"C", TaskCancelConfirm{"b", canceled}}});
  table.say("W", TaskCancelConfirm{"a", cancelFailed});
  CHECK(table.heard() ==
        Heard{{"C", TaskCancelConfirm{"a", cancelFailed}}, {"C", TaskCancelConfirm{"g", cancelFailed}}});
  table.say("W", TaskResult{"a", ResultType::success, {}, {"payload"}});
  CHECK(table.heard().back() == std::pair<Bytes, Message>{"C", TaskCancelConfirm{"g", canceled}});
}

// S11.5
void a_worker_that_answers_nothing_gathers_no_more_than_it_may_have() {
  Table table({.most_tasks_of_worker = 3});
  table.say("W", Table::worker_heartbeat(0xFFFFFFFF));
  for (const Bytes client : {"C1", "C2", "C3"}) {
    table.say(client, task(client + "a"));
    table.say(client, task(client + "b"));
    table.say(client, ClientDisconnect{DisconnectType::disconnect});
  }
  table.heard();
  table.say("C", task("t"));
  CHECK(table.heard().empty());
  table.say("W", TaskCancelConfirm{"C1a", canceled});
  CHECK(table.heard() == Heard{{"W", task("t")}});
}

void malformed_is_dropped_and_counted() {
  Table table;
  table.machine.receive("C", "not a frame", table.now);
  table.machine.receive_misframed("C");
  const auto outputs = table.machine.take_outputs();
  CHECK(outputs.size() == 2);
  for (const auto& output : outputs) CHECK(std::holds_alternative<scheduler::Dropped>(output));
}

}  // namespace

std::vector<Test> all() {
  return {
      {"a task runs and its result is forwarded", a_task_runs_and_its_result_is_forwarded},
      {"a queued task is cancelled at once", a_queued_task_is_cancelled_at_once},
      {"force after an unforced cancel absorbs one refusal", force_after_an_unforced_cancel_absorbs_one_refusal},
      {"a stranger changes nothing", a_stranger_changes_nothing},
      {"a lost worker gives its tasks back and stays lost", a_lost_worker_gives_its_tasks_back_and_stays_lost},
      {"silence is loss unless the scheduler was held up", silence_is_loss_unless_the_scheduler_was_held_up},
      {"a task is moved to a worker that has nothing", a_task_is_moved_to_a_worker_that_has_nothing},
      {"an orderly shutdown answers for everything", an_orderly_shutdown_answers_for_everything},
      {"a graph runs in order and ends last", a_graph_runs_in_order_and_ends_last},
      {"a chain as long as it may be fails at once", a_chain_as_long_as_it_may_be_fails_at_once},
      {"a graph with a cycle is refused", a_graph_with_a_cycle_is_refused},
      {"a cancel of a graph is answered once for each", a_cancel_of_a_graph_is_answered_once_for_each},
      {"a worker that answers nothing gathers no more than it may have",
       a_worker_that_answers_nothing_gathers_no_more_than_it_may_have},
      {"malformed is dropped and counted", malformed_is_dropped_and_counted},
  };
}

}  // namespace testing::scheduler_tests
