// What runs a task: a process of this program with a supervisor above it, so that all of it can be ended (W2.2).
//
//     worker ── supervisor ── body ── whatever the body starts
//
// The supervisor adopts what the body leaves behind, sessions of their own included, and ends all of it when the body has
// ended, when the worker says so, or when the worker is gone. Only then does it end itself. Linux only.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>

#include "store.h"

namespace peer {

// A call as a function sees it.
struct Call {
  std::vector<Bytes> arguments;
  const Store& store;
  const Bytes& result_id;  // under which the value will be stored
};
// Returns the value to store; what it throws (std::exception) becomes the task's error.
using Function = std::function<Bytes(const Call&)>;
using Functions = std::map<std::string, Function>;

// The worker's end of it. For the thread that made it.
class TaskProcess {
 public:
  // Starts it; throws std::system_error.
  TaskProcess(const Task& task, const ObjectStorageAddress& storage);
  ~TaskProcess();
  TaskProcess(const TaskProcess&) = delete;
  TaskProcess& operator=(const TaskProcess&) = delete;

  int descriptor() const { return report_; }  // can be read when has_ended() has something to say
  void end();                                 // end all of it; returns at once
  bool has_ended();                           // does not wait
  // Once it has ended: how, if it has said so; otherwise it died under the task (W3.1).
  std::optional<ResultType> result() const { return result_; }
  const Bytes& result_id() const { return result_id_; }

 private:
  Bytes result_id_;
  pid_t supervisor_ = -1;
  int report_ = -1;
  int control_ = -1;
  std::optional<ResultType> result_{};
};

// The other end: to be called first of all in main() of a program that runs tasks. If the process was started by a
// TaskProcess, runs the task and returns the exit status; otherwise nothing.
std::optional<int> run_as_task(int count, char** arguments, const Functions& functions);

}  // namespace peer
