// The client's machine, played by hand.
#include "check.h"
#include "client_machine.h"
#include "wire.h"

namespace testing::client_tests {
namespace {

using namespace peer;
using namespace std::chrono_literals;
using client::Outcome;
using enum CancelConfirmType;

// A client with one task, "t", and what it has sent and decided since it was asked last.
class Table {
 public:
  Table() : machine({}, now) {
    machine.submit(Task{"t"});
    CHECK(heard() == std::vector<Message>{ClientHeartbeat{}, Task{"t"}});
  }
  void say(const Message& message) { machine.receive(encode(message), now); }
  std::vector<Message> heard() {
    std::vector<Message> all;
    done.clear();
    for (const auto& output : machine.take_outputs())
      std::visit(Overloaded{[&](const client::Send& one) { all.push_back(decode(one.frame)); },
                            [&](const client::Finished&) { done.push_back("finished"); },
                            [&](const client::Cancelled& one) {
                              done.emplace_back(client::outcome_names[static_cast<std::size_t>(one.outcome)]);
                            },
                            [&](const client::Refused&) { done.push_back("refused"); },
                            [&](const client::Release&) { done.push_back("release"); },
                            [&](const client::Dropped&) { done.push_back("drop"); }},
                 output);
    return all;
  }

  client::Time now{};
  client::Machine machine;
  std::vector<std::string> done{};
};

using Heard = std::vector<Message>;
using Done = std::vector<std::string>;

TaskResult success() { return {"t", ResultType::success, {}, {"payload"}}; }

void a_result_finishes() {
  Table table;
  table.say(success());
  table.say(success());  // late: its payloads are released
  CHECK(table.heard().empty());
  CHECK(table.done == Done{"finished", "release"});
  CHECK(!table.machine.cancel("t", false, table.now + 30s));
}

void a_result_in_an_open_round_is_discarded() {
  Table table;
  CHECK(table.machine.cancel("t", false, table.now + 30s));
  CHECK(table.heard() == Heard{TaskCancel{"t", false}});
  table.say(success());
  table.say(TaskCancelConfirm{"t", cancelNotFound});
  CHECK(table.heard().empty());
  CHECK(table.done == Done{"release", "result discarded"});
}

void each_answer_ends_the_round() {
  const std::vector<std::pair<CancelConfirmType, std::string>> answers = {
      {canceled, "confirmed"}, {cancelNotFound, "not found"}, {cancelFailed, "refused"}};
  for (const auto& [answer, outcome] : answers) {
    Table table;
    table.machine.cancel("t", true, table.now + 30s);
    CHECK(table.heard() == Heard{TaskCancel{"t", true}});
    table.say(TaskCancelConfirm{"t", static_cast<CancelConfirmType>(9)});  // unknown: the round stays open (M6)
    table.say(TaskCancelConfirm{"t", answer});
    table.heard();
    CHECK(table.done == Done{"drop", outcome});
  }
}

void a_refusal_can_be_followed_by_another_round() {
  Table table;
  table.machine.cancel("t", false, table.now + 30s);
  table.machine.cancel("t", true, table.now + 30s);  // joins
  table.say(TaskCancelConfirm{"t", cancelFailed});
  CHECK(table.heard() == Heard{TaskCancel{"t", false}});
  table.machine.cancel("t", true, table.now + 30s);
  CHECK(table.heard() == Heard{TaskCancel{"t", true}});
}

void the_shortest_time_limit_ends_the_round() {
  Table table;
  table.machine.cancel("t", false, table.now + 30s);
  table.machine.cancel("t", false, table.now + 1s);
  table.machine.cancel("t", false, table.now + 30s);
  CHECK(table.machine.next_moment() == table.now + 1s);
  table.machine.tick(table.now + 1s);
  table.heard();
  CHECK(table.done == Done{"timed out"});
}

void a_round_that_has_ended_has_no_time_limit() {
  for (const auto answer : {cancelFailed, canceled}) {
    Table table;
    const auto heartbeat = table.machine.next_moment();
    table.machine.cancel("t", false, table.now + 1s);
    table.say(TaskCancelConfirm{"t", answer});
    CHECK(table.machine.next_moment() == heartbeat);
    table.machine.tick(table.now + 1s);
    table.heard();
    CHECK(table.done == Done{answer == canceled ? "confirmed" : "refused"});
  }
}

void the_loss_of_the_scheduler_cancels() {
  for (const int way : {0, 1, 2, 3}) {
    Table table;
    if (way == 0) table.machine.scheduler_is_lost();
    if (way == 1) table.say(ClientDisconnect{});
    if (way == 2) table.machine.tick(table.now + 61s);
    if (way == 3) table.machine.disconnect();
    CHECK(table.heard() == (way == 3 ? Heard{ClientDisconnect{}} : Heard{}));
    CHECK(table.done == Done{"disconnected"});
    CHECK(table.machine.is_over());
  }
}

}  // namespace

std::vector<Test> all() {
  return {
      {"a result finishes", a_result_finishes},
      {"a result in an open round is discarded", a_result_in_an_open_round_is_discarded},
      {"each answer ends the round", each_answer_ends_the_round},
      {"a refusal can be followed by another round", a_refusal_can_be_followed_by_another_round},
      {"the shortest time limit ends the round", the_shortest_time_limit_ends_the_round},
      {"a round that has ended has no time limit", a_round_that_has_ended_has_no_time_limit},
      {"the loss of the scheduler cancels", the_loss_of_the_scheduler_cancels},
  };
}

}  // namespace testing::client_tests
