// The scheduler's shell: a ROUTER, a clock and a log around the machine.
#pragma once

#include <map>

#include "connection.h"
#include "scheduler_machine.h"

namespace peer {

class Scheduler {
 public:
  // Binds at once; throws std::runtime_error if it cannot.
  Scheduler(const std::string& endpoint, scheduler::Options options);
  std::string endpoint() const { return router_.endpoint(); }
  // Serves until it has shut down.
  void run();
  // Asks for an orderly shutdown (S9.10). From any thread, and from a signal handler.
  void shut_down();

 private:
  void do_outputs();
  void log(const scheduler::Dropped& dropped);

  Router router_;
  scheduler::Machine machine_;
  Waker waker_{};
  std::map<std::pair<Bytes, std::string>, std::uint64_t> drops_{};  // by sender and reason (S11.2)
};

}  // namespace peer
