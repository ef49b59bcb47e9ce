// ZeroMQ, as section 2 of SPEC.md wants it used. Throws std::system_error where ZeroMQ refuses.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "messages.h"

namespace peer {

struct CloseSocket {
  void operator()(void* socket) const;
};
using Socket = std::unique_ptr<void, CloseSocket>;

// Wakes a loop that waits for sockets. wake() may be called from any thread and from a signal handler.
class Waker {
 public:
  Waker();
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;
  void wake() const;
  void calm() const;
  void wait(std::chrono::steady_clock::duration most) const;  // until woken, or the time is over
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

// All frames of one message; none if none is there. Does not wait.
std::optional<std::vector<Bytes>> receive_message(void* socket);

// What a scheduler binds. One thread only.
class Router {
 public:
  // `endpoint` may ask for a free port, as tcp://127.0.0.1:0 does.
  explicit Router(const std::string& endpoint);
  std::string endpoint() const;
  void* socket() const { return socket_.get(); }
  // Neither waits nor raises if the peer is slow or gone (T5).
  void send(const Bytes& peer, const Bytes& frame) const;

 private:
  Socket socket_;
};

// What a client or a worker connects: one life of one connection (T4). One thread only. ZeroMQ must not connect again by
// itself: it would give what waits to be sent, under the old routing id, to a scheduler that was started anew (T7).
class Dealer {
 public:
  Dealer(const std::string& endpoint, const Bytes& routing_id);
  ~Dealer();
  Dealer(const Dealer&) = delete;
  Dealer& operator=(const Dealer&) = delete;
  // Before the connection is made what is sent waits.
  void send(const Bytes& frame);
  std::optional<std::vector<Bytes>> receive() const { return receive_message(socket_.get()); }
  // Whether the connection was made and has dropped: true for ever after (T4). Does not wait. To be called again and
  // again: it tries to connect again as long as the scheduler is not there.
  bool has_dropped();
  // Waits until something may be there to receive, one of the descriptors can be read, or the time is over.
  void wait(std::chrono::steady_clock::duration most, const std::vector<int>& descriptors) const;

 private:
  void attempt();
  void handle(int event);

  Socket socket_;
  Socket monitor_{};
  std::string endpoint_;
  std::vector<Bytes> waiting_{};
  std::chrono::steady_clock::time_point next_attempt_{};
  bool under_way_ = false;
  bool made_ = false;
  bool dropped_ = false;
};

// `kind`|name|32 random hexadecimal digits, the custom of section 2; and ids of other things.
Bytes new_routing_id(const std::string& kind, const std::string& name);
Bytes random_bytes(std::size_t size);
std::string to_hex(const Bytes& bytes);
Bytes from_hex(const std::string& text);  // throws std::invalid_argument
std::string host_name();

}  // namespace peer
