// The worker's shell: a DEALER, a clock, and the processes that run tasks.
#pragma once

#include <atomic>

#include "connection.h"
#include "task_process.h"
#include "worker_machine.h"

namespace peer {

class Worker {
 public:
  Worker(std::string endpoint, std::string name, worker::Options options);
  // Serves until it is told to leave; under a new routing id whenever it was declared lost or the scheduler is. The
  // program must call run_as_task() first in its main().
  void run();
  // Asks it to leave (W4.2). From any thread, and from a signal handler.
  void leave();

 private:
  worker::Afterwards run_one_life();
  void do_outputs(worker::Machine& machine, Dealer& dealer);
  void start(worker::Machine& machine, const worker::Start& start);
  void look_at_processes(worker::Machine& machine, Dealer& dealer);

  std::string endpoint_;
  std::string name_;
  worker::Options options_;
  Waker waker_{};
  std::atomic<bool> shall_leave_{false};
  std::map<Bytes, TaskProcess> processes_{};  // by task id
  std::optional<Store> store_{};
};

}  // namespace peer
