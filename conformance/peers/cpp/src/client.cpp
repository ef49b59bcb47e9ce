#include "client.h"

#include <algorithm>
#include <iostream>
#include <utility>

namespace peer {

using client::State;
using Clock = std::chrono::steady_clock;

namespace {

// A clock can be added to no more.
constexpr Future::Seconds longest_time_limit{1e9};

}  // namespace

// --- Futures.

bool Future::cancel(bool force, Seconds time_limit) {
  const auto limit = std::clamp(time_limit, Seconds::zero(), longest_time_limit);
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(limit);
  std::unique_lock lock(client_.mutex_);
  while (!settled()) {
    const auto round = rounds_ended_;
    const bool joins = state_ == State::canceling;
    const bool asked_for_less = joins && force && !round_has_force_;
    if (!joins) round_has_force_ = force;
    state_ = State::canceling;
    client_.machine_.cancel(task_id_, force, deadline);
    client_.do_outputs();
    client_.changed_.wait(lock, [&] { return settled() || rounds_ended_ != round; });
    if (!settled() && !asked_for_less) return false;  // refused
    // Refused to one who asked without force: ask again, with force (C6.3).
  }
  return state_ == State::cancelled;
}

bool Future::cancelled() {
  std::unique_lock lock(client_.mutex_);
  const auto round = rounds_ended_;
  client_.changed_.wait(lock, [&] { return state_ != State::canceling || rounds_ended_ != round; });
  return state_ == State::cancelled;
}

bool Future::done() const {
  const std::lock_guard lock(client_.mutex_);
  return settled();
}

bool Future::running() const { return !done(); }

std::optional<client::Outcome> Future::outcome() const {
  const std::lock_guard lock(client_.mutex_);
  return outcome_;
}

Bytes Future::result() {
  {
    std::unique_lock lock(client_.mutex_);
    client_.changed_.wait(lock, [&] { return settled(); });
    if (state_ == State::cancelled) throw CancelledError();
  }
  const std::lock_guard lock(reading_);  // result_ does not change any more
  if (!value_) {
    if (result_.resultType == ResultType::failedWorkerDied) {
      value_ = "what ran the task died";
    } else if (result_.results.empty()) {
      value_ = "";
    } else {
      value_ = client_.store().get(result_.results.front());
      for (const auto& id : result_.results) client_.store().remove(id);
    }
  }
  if (result_.resultType != ResultType::success) throw TaskError(*value_);  // unknown ones, too (M6)
  return *value_;
}

void Future::add_done_callback(std::function<void(Future&)> callback) {
  const std::lock_guard lock(client_.mutex_);
  callbacks_.push_back(std::move(callback));
  if (!settled()) return;
  client_.callbacks_.push_back([self = shared_from_this(), last = std::move(callbacks_.back())] { last(*self); });
  callbacks_.pop_back();
  client_.changed_.notify_all();
}

// --- The client.

Client::Client(const std::string& endpoint, const std::string& name, client::Options options)
    : routing_id_(new_routing_id("Client", name)),
      machine_([&options] {
        options.hostname = host_name();
        return client::Machine(options, Clock::now());
      }()) {
  auto dealer = std::make_unique<Dealer>(endpoint, routing_id_);  // raises here, where the caller hears it
  receiver_ = std::thread([this, mine = std::move(dealer)] { receive_messages(*mine); });
  caller_ = std::thread([this] { run_callbacks(); });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return machine_.storage() || machine_.is_over(); });
  try {
    if (!machine_.storage()) throw std::runtime_error("no scheduler has answered at " + endpoint);
    store_.emplace(*machine_.storage());
  } catch (...) {
    machine_.disconnect();
    closing_ = true;
    lock.unlock();
    changed_.notify_all();
    waker_.wake();
    receiver_.join();
    caller_.join();
    throw;
  }
}

Client::~Client() {
  disconnect();
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  waker_.wake();
  receiver_.join();
  caller_.join();
}

std::shared_ptr<Future> Client::submit(const std::string& function, const std::vector<Bytes>& arguments) {
  Task task;
  task.taskId = random_bytes(16);
  task.source = routing_id_;
  std::vector<Bytes> stored;
  const auto store = [&](const Bytes& payload) {
    stored.push_back(new_payload_id());
    store_->put(stored.back(), payload);
    return stored.back();
  };
  task.funcObjectId = store(function);
  for (const auto& argument : arguments) task.functionArgs.push_back({ArgumentType::objectID, store(argument)});

  const std::shared_ptr<Future> future(new Future(*this, task.taskId));
  const std::lock_guard lock(mutex_);
  if (machine_.is_over()) {
    for (const auto& id : stored) store_->remove(id);
    throw std::runtime_error("this client is disconnected");
  }
  pending_.emplace(task.taskId, future);  // before anything is sent (C8.2)
  inputs_.emplace(task.taskId, std::move(stored));
  machine_.submit(task);
  do_outputs();
  return future;
}

void Client::disconnect() {
  const std::lock_guard lock(mutex_);
  machine_.disconnect();
  do_outputs();
}

void Client::do_outputs() {
  for (const auto& output : machine_.take_outputs())
    std::visit(Overloaded{
                   [&](const client::Send& send) { outbox_.push_back(send.frame); },
                   [&](const client::Finished& finished) {
                     pending_.at(finished.result.taskId)->result_ = finished.result;
                     settle(finished.result.taskId, State::finished);
                   },
                   [&](const client::Cancelled& cancelled) {
                     pending_.at(cancelled.task_id)->outcome_ = cancelled.outcome;
                     settle(cancelled.task_id, State::cancelled);
                   },
                   [&](const client::Refused& refused) {
                     auto& future = *pending_.at(refused.task_id);
                     future.state_ = State::running;
                     future.outcome_ = client::Outcome::refused;
                     ++future.rounds_ended_;
                   },
                   [&](const client::Release& release) {
                     garbage_.insert(garbage_.end(), release.results.begin(), release.results.end());
                   },
                   [](const client::Dropped& dropped) { std::cerr << "dropped: " << dropped.reason << "\n"; },
               },
               output);
  changed_.notify_all();
  waker_.wake();
}

void Client::settle(const Bytes& task_id, State state) {
  auto settled = pending_.extract(task_id);
  const auto& future = settled.mapped();
  future->state_ = state;
  ++future->rounds_ended_;
  for (auto& callback : std::exchange(future->callbacks_, {}))
    callbacks_.push_back([future, callback = std::move(callback)] { callback(*future); });
  auto inputs = inputs_.extract(task_id);
  garbage_.insert(garbage_.end(), inputs.mapped().begin(), inputs.mapped().end());
}

// The only thread that touches the socket. It never waits for a callback, nor for a user (C11.1).
void Client::receive_messages(Dealer& dealer) {
  std::unique_lock lock(mutex_);
  do_outputs();  // the first heartbeat
  while (true) {
    const auto outbox = std::exchange(outbox_, {});
    const auto garbage = std::exchange(garbage_, {});
    const bool last = closing_ || machine_.is_over();
    const auto next = machine_.next_moment();
    const Store* const store = store_ ? &*store_ : nullptr;
    lock.unlock();
    for (const auto& frame : outbox) dealer.send(frame);
    for (const auto& id : garbage)
      if (store != nullptr) store->remove(id);
    if (last) return;
    dealer.wait(next - Clock::now(), {waker_.descriptor()});
    waker_.calm();
    lock.lock();
    while (const auto frames = dealer.receive()) {
      if (frames->size() == 1)
        machine_.receive(frames->front(), Clock::now());
      else
        std::cerr << "dropped: not exactly one frame\n";
    }
    if (dealer.has_dropped()) machine_.scheduler_is_lost();
    machine_.tick(Clock::now());
    do_outputs();
    waker_.calm();
  }
}

void Client::run_callbacks() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closing_ || !callbacks_.empty(); });
    if (callbacks_.empty()) return;
    const auto callback = std::move(callbacks_.front());
    callbacks_.pop_front();
    lock.unlock();
    try {
      callback();
    } catch (const std::exception& error) {
      std::cerr << "a callback raised: " << error.what() << "\n";
    } catch (...) {
      std::cerr << "a callback raised\n";
    }
    lock.lock();
  }
}

}  // namespace peer
