// The client's decisions (SPEC.md, section 6) for one life under one routing id, without sockets, clocks and threads.
// Not thread-safe. It submits no graphs.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>

#include "client_table.h"
#include "messages.h"

namespace peer::client {

using Time = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

struct Options {
  Duration heartbeat_interval = std::chrono::seconds(2);
  Duration scheduler_timeout = std::chrono::seconds(60);
  std::string hostname{};
  // Where payloads are, if not where the scheduler says.
  std::optional<ObjectStorageAddress> storage{};
};

// How a round ended, or how a future came to be cancelled without one (C5.2).
enum class Outcome { confirmed, not_found, result_discarded, timed_out, disconnected, refused };
inline constexpr std::array outcome_names = {"confirmed", "not found",    "result discarded",
                                             "timed out", "disconnected", "refused"};

// What the machine wants done, in this order.
struct Send {
  Bytes frame;
};
struct Finished {  // the future has its result; nothing more comes for it
  TaskResult result;
};
struct Cancelled {  // the future is cancelled, and its round, if one was open, has ended
  Bytes task_id;
  Outcome outcome;
};
struct Refused {  // the round has ended, and the future is running again
  Bytes task_id;
};
struct Release {  // payloads of a result that nobody will see (C3.2, C9.2)
  std::vector<Bytes> results;
};
struct Dropped {
  std::string reason;
};
using Output = std::variant<Send, Finished, Cancelled, Refused, Release, Dropped>;

class Machine {
 public:
  Machine(Options options, Time now);  // the first output is a heartbeat (C12.1)

  void submit(const Task& task);  // under a new id; its future must exist already (C8.2)
  // Opens a round or joins the open one; the earliest deadline ends it (C6.2). False if the future is settled.
  bool cancel(const Bytes& task_id, bool force, Time deadline);
  void disconnect();        // say good-bye (C10.1)
  void scheduler_is_lost();  // the connection dropped (C10.2)
  void receive(const Bytes& frame, Time now);
  void tick(Time now);  // time has passed: call it often, and no later than next_moment()

  bool is_over() const { return over_; }  // disconnected, or the scheduler is lost
  // When the next deadline or heartbeat is due.
  Time next_moment() const;
  // Where payloads are; not known before the first echo.
  const std::optional<ObjectStorageAddress>& storage() const { return storage_; }
  std::vector<Output> take_outputs();

 private:
  struct Future {
    State state = State::running;
    Time deadline{};  // of the open round
  };

  void apply(const Bytes& task_id, Event event, const TaskResult* result = nullptr);
  void on_confirm(const TaskCancelConfirm& confirm);
  void on_result(const TaskResult& result);
  void end();
  void heartbeat(Time now);
  void send(const Message& message);

  Options options_;
  std::map<Bytes, Future> futures_{};  // those that are not settled
  std::set<Bytes> canceling_{};        // those of them with a round open, which time may end
  std::optional<ObjectStorageAddress> storage_{};
  bool over_ = false;
  Time heard_;
  Time last_heartbeat_{};
  bool awaits_echo_ = false;
  Duration latency_{};
  std::vector<Output> outputs_{};
};

}  // namespace peer::client
