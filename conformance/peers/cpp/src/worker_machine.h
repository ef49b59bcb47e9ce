// The worker's decisions (SPEC.md, section 5) for one life under one routing id, without sockets, clocks and processes.
// Not thread-safe.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>

#include "messages.h"
#include "worker_table.h"

namespace peer::worker {

using Time = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

struct Options {
  std::uint32_t queue_size = 1000;  // tasks that it takes, queued and running together
  std::size_t processes = 1;      // tasks that it runs at once
  Duration heartbeat_interval = std::chrono::seconds(2);
  Duration scheduler_timeout = std::chrono::seconds(60);
  std::string hostname{};
  // Where payloads are, if not where the scheduler says.
  std::optional<ObjectStorageAddress> storage{};
};

// What the machine wants done, in this order.
struct Send {
  Bytes frame;
};
struct Start {  // begin what runs the task; tell finished() if it has reported, then process_ended()
  Task task;
  ObjectStorageAddress storage;
};
struct End {  // end all that runs the task; tell process_ended() when it has ended
  Bytes task_id;
};
struct Release {  // the payload that the task has stored as its result, if any
  Bytes task_id;
};
struct Dropped {
  std::string reason;
};
using Output = std::variant<Send, Start, End, Release, Dropped>;

// What to do when this life is over.
enum class Afterwards { exit, rejoin };

class Machine {
 public:
  Machine(Options options, Time now);  // the first output is a heartbeat (W5.1)

  void receive(const Bytes& frame, Time now);
  void tick(Time now);          // time has passed: call it often
  void leave();                 // the operator asks it to (W4.2)
  void connection_dropped();    // T4, W5.3
  // The task's function has returned or raised and what it gave is stored.
  void finished(const Bytes& task_id, ResultType type, const std::vector<Bytes>& results);
  // All that ran the task has ended. To be told after finished(), too.
  void process_ended(const Bytes& task_id);

  // Nothing runs any more and the last word is said.
  bool is_over() const { return over_; }
  Afterwards afterwards() const { return phase_ == Phase::lost ? Afterwards::rejoin : Afterwards::exit; }
  std::vector<Output> take_outputs();

 private:
  enum class Phase {
    serving,
    leaving,  // says good-bye when nothing runs any more (W4.2)
    lost,     // says nothing any more (W4.3, W5.2, W5.3)
  };
  struct Assignment {
    Task task{};
    State state = State::queued;
  };

  void apply(Assignment& assignment, Event event, const TaskResult* result = nullptr);
  void end_life(Phase phase);
  void end_if_nothing_runs();
  void start_what_fits();
  void heartbeat(Time now);
  void on_task(const Task& task);
  void on_cancel(const TaskCancel& cancel);
  void on_disconnect(const ClientDisconnect& message);
  void send(const Message& message);

  Options options_;
  Phase phase_ = Phase::serving;
  bool over_ = false;
  std::map<Bytes, Assignment> held_{};
  std::deque<Bytes> queue_{};
  std::size_t occupied_ = 0;  // processes that run, or have not ended yet
  std::optional<ObjectStorageAddress> storage_{};
  Time heard_;
  Time last_heartbeat_{};
  bool awaits_echo_ = false;
  Duration latency_{};
  std::vector<Output> outputs_{};
};

}  // namespace peer::worker
