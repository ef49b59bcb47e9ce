// The worker's machine, played by hand.
#include "check.h"
#include "wire.h"
#include "worker_machine.h"

namespace testing::worker_tests {
namespace {

using namespace peer;
using namespace std::chrono_literals;
using enum CancelConfirmType;

// A worker that runs one task at once, what it has sent, and what it has asked to be done, since it was asked last.
class Table {
 public:
  Table() : machine({.queue_size = 3, .processes = 1, .hostname = "here"}, now) {
    CHECK(std::holds_alternative<WorkerHeartbeat>(heard().at(0)));
  }
  void say(const Message& message) { machine.receive(encode(message), now); }
  void greet() {
    say(WorkerHeartbeatEcho{{"/payloads", 0, "file"}});
    heard();
  }
  std::vector<Message> heard() {
    std::vector<Message> all;
    done.clear();
    for (const auto& output : machine.take_outputs())
      std::visit(Overloaded{[&](const worker::Send& one) { all.push_back(decode(one.frame)); },
                            [&](const worker::Start& one) { done.push_back("start " + one.task.taskId); },
                            [&](const worker::End& one) { done.push_back("end " + one.task_id); },
                            [&](const worker::Release& one) { done.push_back("release " + one.task_id); },
                            [&](const worker::Dropped&) { done.push_back("drop"); }},
                 output);
    return all;
  }

  worker::Time now{};
  worker::Machine machine;
  std::vector<std::string> done{};
};

using Heard = std::vector<Message>;
using Done = std::vector<std::string>;

void a_task_waits_for_the_first_echo_and_runs() {
  Table table;
  table.say(Task{"t"});
  CHECK(table.heard().empty());
  CHECK(table.done.empty());
  table.say(WorkerHeartbeatEcho{{"/payloads", 0, "file"}});
  table.heard();
  CHECK(table.done == Done{"start t"});
  table.machine.finished("t", ResultType::success, {"payload"});
  table.machine.process_ended("t");
  CHECK(table.heard() == Heard{TaskResult{"t", ResultType::success, {}, {"payload"}}});
  CHECK(table.done.empty());
  table.say(TaskCancel{"t", true});
  CHECK(table.heard() == Heard{TaskCancelConfirm{"t", cancelNotFound}});
}

void a_queued_task_is_dropped() {
  Table table;
  table.greet();
  table.say(Task{"first"});
  table.say(Task{"second"});
  table.say(TaskCancel{"second", false});
  CHECK(table.heard() == Heard{TaskCancelConfirm{"second", canceled}});
  CHECK(table.done == Done{"start first"});
  table.machine.process_ended("first");
  CHECK(table.heard() == Heard{TaskResult{"first", ResultType::failedWorkerDied, {}, {}}});
  CHECK(table.done == Done{"release first"});  // and the second never starts
}

void a_running_task_is_refused_or_ended() {
  Table table;
  table.greet();
  table.say(Task{"t"});
  table.say(TaskCancel{"t", false});
  CHECK(table.heard() == Heard{TaskCancelConfirm{"t", cancelFailed}});
  table.say(TaskCancel{"t", true});
  table.say(TaskCancel{"t", true});  // answered by what follows
  CHECK(table.heard().empty());
  CHECK(table.done == Done{"end t"});
  table.machine.finished("t", ResultType::success, {"too late"});
  CHECK(table.heard().empty());
  table.machine.process_ended("t");
  CHECK(table.heard() == Heard{TaskCancelConfirm{"t", canceled}});
  CHECK(table.done == Done{"release t"});
}

void a_second_task_under_a_held_id_is_dropped() {
  Table table;
  table.greet();
  table.say(Task{"t"});
  table.say(Task{"t"});
  table.heard();
  CHECK(table.done == Done{"drop", "start t"} || table.done == Done{"start t", "drop"});
}

void the_good_bye_comes_when_nothing_runs() {
  Table table;
  table.greet();
  table.say(Task{"runs"});
  table.say(Task{"waits"});
  table.heard();
  table.say(ClientDisconnect{DisconnectType::shutdown});
  table.say(Task{"late"});
  CHECK(table.heard().empty());
  CHECK(table.done == Done{"end runs", "drop"});
  CHECK(!table.machine.is_over());
  table.machine.process_ended("runs");
  CHECK(table.heard() == Heard{WorkerDisconnectNotification{}});
  CHECK(table.machine.is_over());
  CHECK(table.machine.afterwards() == worker::Afterwards::exit);
}

void a_worker_that_is_lost_says_nothing() {
  for (const int way : {0, 1, 2}) {
    Table table;
    table.greet();
    table.say(Task{"t"});
    table.heard();
    if (way == 0) table.say(ClientDisconnect{static_cast<DisconnectType>(7)});  // as `disconnect` (M6)
    if (way == 1) table.machine.connection_dropped();
    if (way == 2) table.machine.tick(table.now + 61s);
    table.machine.process_ended("t");
    CHECK(table.heard().empty());
    CHECK(table.machine.is_over());
    CHECK(table.machine.afterwards() == worker::Afterwards::rejoin);
  }
}

}  // namespace

std::vector<Test> all() {
  return {
      {"a task waits for the first echo and runs", a_task_waits_for_the_first_echo_and_runs},
      {"a queued task is dropped", a_queued_task_is_dropped},
      {"a running task is refused or ended", a_running_task_is_refused_or_ended},
      {"a second task under a held id is dropped", a_second_task_under_a_held_id_is_dropped},
      {"the good-bye comes when nothing runs", the_good_bye_comes_when_nothing_runs},
      {"a worker that is lost says nothing", a_worker_that_is_lost_says_nothing},
  };
}

}  // namespace testing::worker_tests
