// The client's shell: futures, a thread that receives, and one that runs callbacks.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "client_machine.h"
#include "connection.h"
#include "store.h"

namespace peer {

class Client;

// result() of a future that is cancelled.
class CancelledError : public std::runtime_error {
 public:
  CancelledError() : std::runtime_error("the task was cancelled") {}
};

// result() of a future whose task failed; `what()` is the error as the worker stored it.
class TaskError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The result of a task that was submitted. All of it may be called from any thread, and from callbacks, for as long as
// its client exists.
class Future : public std::enable_shared_from_this<Future> {
 public:
  using Seconds = std::chrono::duration<double>;
  static constexpr Seconds default_time_limit{30};

  const Bytes& task_id() const { return task_id_; }
  // Asks that the task be cancelled and waits for the answer, at most for the time limit (C1.1, C5.1). True: it is
  // cancelled. False: it has a result, or was refused and goes on (C4.1). `force`: also if it runs.
  bool cancel(bool force = false, Seconds time_limit = default_time_limit);
  bool cancelled();                             // waits for an open round to end (C7.1)
  bool done() const;                            // does not wait
  bool running() const;                         // does not wait
  std::optional<client::Outcome> outcome() const;  // how the last round ended, or how it came to be cancelled (C5.2)
  // Waits. Throws CancelledError, TaskError, or StoreError if the payload cannot be read.
  Bytes result();
  // Called once, when the future is settled, in the client's own thread for callbacks; at once if it is settled.
  void add_done_callback(std::function<void(Future&)> callback);

 private:
  friend class Client;
  Future(Client& client, Bytes task_id) : client_(client), task_id_(std::move(task_id)) {}
  bool settled() const { return state_ == client::State::finished || state_ == client::State::cancelled; }

  Client& client_;
  const Bytes task_id_;
  // Guarded by the client's mutex.
  client::State state_ = client::State::running;
  std::optional<client::Outcome> outcome_{};
  std::uint64_t rounds_ended_ = 0;
  bool round_has_force_ = false;
  TaskResult result_{};
  std::vector<std::function<void(Future&)>> callbacks_{};
  // Guarded by a mutex of its own, since reading it may take long.
  std::mutex reading_{};
  std::optional<Bytes> value_{};
};

class Client {
 public:
  // Connects, and waits until the scheduler has said where payloads are kept. Throws std::runtime_error if it is lost
  // before, and StoreError if this peer does not know that storage.
  Client(const std::string& endpoint, const std::string& name, client::Options options);
  ~Client();  // disconnects; not from a callback
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Runs one of the worker's functions. Throws StoreError, and std::runtime_error once disconnected.
  std::shared_ptr<Future> submit(const std::string& function, const std::vector<Bytes>& arguments);
  void disconnect();  // cancels every future that is not settled, at once (C10.1)
  const Store& store() const { return *store_; }

 private:
  friend class Future;

  // To be called with the mutex held.
  void do_outputs();
  void settle(const Bytes& task_id, client::State state);

  void receive_messages(Dealer& dealer);
  void run_callbacks();

  const Bytes routing_id_;
  mutable std::mutex mutex_{};
  std::condition_variable changed_{};
  client::Machine machine_;
  std::map<Bytes, std::shared_ptr<Future>> pending_{};
  std::deque<Bytes> outbox_{};
  std::map<Bytes, std::vector<Bytes>> inputs_{};  // payloads of a task's call, until it is settled
  std::vector<Bytes> garbage_{};                  // payloads to release, outside of the lock
  std::deque<std::function<void()>> callbacks_{};
  bool closing_ = false;
  std::optional<Store> store_{};
  Waker waker_{};
  std::thread receiver_{};
  std::thread caller_{};
};

}  // namespace peer
