#include "scheduler.h"

#include <zmq.h>

#include <array>
#include <bit>
#include <iostream>

namespace peer {
namespace {

constexpr auto tick = std::chrono::milliseconds(50);
// A ROUTER reads its connections in turn: after so many messages each that has sent something has been heard, so that
// a peer that floods cannot put off the time-outs of others (S11.1).
constexpr int most_messages_before_tick = 20'000;
constexpr std::size_t most_kinds_of_drops = 10'000;

// For the log: routing ids and task ids are anybody's bytes.
std::string printable(const Bytes& bytes) {
  for (const char c : bytes)
    if (c < ' ' || c > '~') return "0x" + to_hex(bytes);
  return bytes;
}

}  // namespace

Scheduler::Scheduler(const std::string& endpoint, scheduler::Options options)
    : router_(endpoint), machine_(std::move(options)) {}

void Scheduler::shut_down() { waker_.wake(); }

void Scheduler::run() {
  using Clock = std::chrono::steady_clock;
  while (!machine_.is_over()) {
    std::array<zmq_pollitem_t, 2> items = {
        {{router_.socket(), 0, ZMQ_POLLIN, 0}, {nullptr, waker_.descriptor(), ZMQ_POLLIN, 0}}};
    zmq_poll(items.data(), static_cast<int>(items.size()), tick.count());
    for (int i = 0; i < most_messages_before_tick; ++i) {
      const auto frames = receive_message(router_.socket());
      if (!frames) break;
      if (frames->size() == 2)
        machine_.receive(frames->front(), frames->back(), Clock::now());
      else
        machine_.receive_misframed(frames->front());
      do_outputs();
    }
    if ((items[1].revents & ZMQ_POLLIN) != 0) {
      waker_.calm();
      machine_.shut_down(Clock::now());
    }
    machine_.tick(Clock::now());
    do_outputs();
  }
}

void Scheduler::do_outputs() {
  for (const auto& output : machine_.take_outputs())
    std::visit(Overloaded{[&](const scheduler::Send& send) { router_.send(send.peer, send.frame); },
                          [&](const scheduler::Dropped& dropped) { log(dropped); }},
               output);
}

void Scheduler::log(const scheduler::Dropped& dropped) {
  if (drops_.size() > most_kinds_of_drops) drops_.clear();
  const auto count = ++drops_[{dropped.peer, dropped.reason}];
  if (!std::has_single_bit(count)) return;  // the 1st, 2nd, 4th, 8th... of the same kind
  std::cerr << "dropped from " << printable(dropped.peer) << ": " << dropped.reason;
  if (!dropped.task_id.empty()) std::cerr << ", task " << printable(dropped.task_id);
  std::cerr << " (" << count << " so far)\n";
}

}  // namespace peer
