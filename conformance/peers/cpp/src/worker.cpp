#include "worker.h"

#include <iostream>

namespace peer {

using Clock = std::chrono::steady_clock;

Worker::Worker(std::string endpoint, std::string name, worker::Options options)
    : endpoint_(std::move(endpoint)), name_(std::move(name)), options_(std::move(options)) {
  options_.hostname = host_name();
}

void Worker::leave() {
  shall_leave_ = true;
  waker_.wake();
}

void Worker::run() {
  // A scheduler that is full turns each life away at once: come back no faster than a heartbeat would.
  for (auto begun = Clock::now(); run_one_life() == worker::Afterwards::rejoin; begun = Clock::now()) {
    while (Clock::now() - begun < options_.heartbeat_interval && !shall_leave_)
      waker_.wait(options_.heartbeat_interval - (Clock::now() - begun));
    if (shall_leave_) return;
  }
}

worker::Afterwards Worker::run_one_life() {
  Dealer dealer(endpoint_, new_routing_id("Worker", name_));
  worker::Machine machine(options_, Clock::now());
  do_outputs(machine, dealer);
  while (!machine.is_over()) {
    std::vector<int> descriptors = {waker_.descriptor()};
    for (const auto& [id, process] : processes_) descriptors.push_back(process.descriptor());
    dealer.wait(std::min<Clock::duration>(options_.heartbeat_interval / 2, std::chrono::milliseconds(200)), descriptors);
    waker_.calm();
    while (const auto frames = dealer.receive()) {
      if (frames->size() == 1)
        machine.receive(frames->front(), Clock::now());
      else
        std::cerr << "dropped: not exactly one frame\n";
      do_outputs(machine, dealer);
    }
    look_at_processes(machine, dealer);
    if (dealer.has_dropped()) machine.connection_dropped();
    if (shall_leave_) machine.leave();
    machine.tick(Clock::now());
    do_outputs(machine, dealer);
  }
  return machine.afterwards();
}

void Worker::do_outputs(worker::Machine& machine, Dealer& dealer) {
  // Doing one may bring others, when a process cannot be started.
  for (auto outputs = machine.take_outputs(); !outputs.empty(); outputs = machine.take_outputs())
    for (const auto& output : outputs)
      std::visit(Overloaded{
                     [&](const worker::Send& send) { dealer.send(send.frame); },
                     [&](const worker::Start& one) { start(machine, one); },
                     [&](const worker::End& end) { processes_.at(end.task_id).end(); },
                     [&](const worker::Release& release) {
                       const auto process = processes_.find(release.task_id);
                       if (process != processes_.end() && store_) store_->remove(process->second.result_id());
                     },
                     [](const worker::Dropped& dropped) { std::cerr << "dropped: " << dropped.reason << "\n"; },
                 },
                 output);
}

void Worker::start(worker::Machine& machine, const worker::Start& start) {
  try {
    store_.emplace(start.storage);
    processes_.try_emplace(start.task.taskId, start.task, start.storage);
  } catch (const std::exception& error) {
    // It cannot be run, and there may be nowhere to put the error.
    std::cerr << "cannot run a task: " << error.what() << "\n";
    machine.finished(start.task.taskId, ResultType::failed, {});
    machine.process_ended(start.task.taskId);
  }
}

void Worker::look_at_processes(worker::Machine& machine, Dealer& dealer) {
  for (auto at = processes_.begin(); at != processes_.end();) {
    auto& [id, process] = *at;
    if (!process.has_ended()) {
      ++at;
      continue;
    }
    const auto& result_id = process.result_id();
    if (process.result())
      machine.finished(id, *process.result(), result_id.empty() ? std::vector<Bytes>{} : std::vector{result_id});
    machine.process_ended(id);
    do_outputs(machine, dealer);  // while it can still be asked for what it stored
    at = processes_.erase(at);
  }
}

}  // namespace peer
