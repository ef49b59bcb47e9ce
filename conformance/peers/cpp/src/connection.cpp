#include "connection.h"

#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace peer {
namespace {

// One for the process. Only its end waits until the closed sockets have sent what they had, for as long as each lingers:
// a process that just exits takes its last messages with it.
void* context() {
  struct Context {
    void* const made = zmq_ctx_new();
    Context() = default;
    ~Context() { zmq_ctx_term(made); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
  };
  static const Context one;
  return one.made;
}

[[noreturn]] void raise(const std::string& doing) {
  // ZeroMQ has numbers of its own besides those of the system.
  throw std::runtime_error(doing + ": " + zmq_strerror(zmq_errno()));
}

void set(void* socket, int option, int value) {
  if (zmq_setsockopt(socket, option, &value, sizeof value) != 0) raise("a socket's option");
}

Socket new_socket(int type) {
  Socket socket(zmq_socket(context(), type));
  if (!socket) raise("a socket");
  set(socket.get(), ZMQ_LINGER, 1000);
  set(socket.get(), ZMQ_SNDHWM, 0);  // T6
  set(socket.get(), ZMQ_RCVHWM, 0);
  return socket;
}

constexpr std::chrono::milliseconds between_attempts{100};

}  // namespace

void CloseSocket::operator()(void* socket) const { zmq_close(socket); }

Waker::Waker() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}
Waker::~Waker() { close(descriptor_); }
void Waker::wake() const { static_cast<void>(eventfd_write(descriptor_, 1)); }
void Waker::calm() const {
  eventfd_t count = 0;
  static_cast<void>(eventfd_read(descriptor_, &count));
}

void Waker::wait(std::chrono::steady_clock::duration most) const {
  zmq_pollitem_t item{nullptr, descriptor_, ZMQ_POLLIN, 0};
  zmq_poll(&item, 1, std::max<long>(0, std::chrono::ceil<std::chrono::milliseconds>(most).count()));
}

std::optional<std::vector<Bytes>> receive_message(void* socket) {
  std::vector<Bytes> frames;
  while (true) {
    zmq_msg_t part;
    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, socket, ZMQ_DONTWAIT) < 0) {
      zmq_msg_close(&part);
      if (zmq_errno() == EINTR) continue;
      if (zmq_errno() == EAGAIN) return std::nullopt;
      raise("receiving");
    }
    frames.emplace_back(static_cast<const char*>(zmq_msg_data(&part)), zmq_msg_size(&part));
    const bool more = zmq_msg_more(&part) != 0;
    zmq_msg_close(&part);
    if (!more) return frames;
  }
}

Router::Router(const std::string& endpoint) : socket_(new_socket(ZMQ_ROUTER)) {
  if (zmq_bind(socket_.get(), endpoint.c_str()) != 0) raise("cannot bind " + endpoint);
}

std::string Router::endpoint() const {
  std::array<char, 256> name{};
  std::size_t size = name.size();
  if (zmq_getsockopt(socket_.get(), ZMQ_LAST_ENDPOINT, name.data(), &size) != 0) raise("the endpoint");
  return name.data();
}

void Router::send(const Bytes& peer, const Bytes& frame) const {
  // A ROUTER without ROUTER_MANDATORY discards what is for nobody. An error here is that peer's loss, not ours (S11.4).
  if (zmq_send(socket_.get(), peer.data(), peer.size(), ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0)
    static_cast<void>(zmq_send(socket_.get(), frame.data(), frame.size(), ZMQ_DONTWAIT));
}

Dealer::Dealer(const std::string& endpoint, const Bytes& routing_id)
    : socket_(new_socket(ZMQ_DEALER)), endpoint_(endpoint) {
  if (zmq_setsockopt(socket_.get(), ZMQ_ROUTING_ID, routing_id.data(), routing_id.size()) != 0) raise("a routing id");
  // Not before long after it was closed (T7). With -1, for never, ZeroMQ throws away what has come and was not received.
  set(socket_.get(), ZMQ_RECONNECT_IVL, 1'000'000'000);
  const std::string address = "inproc://monitor-" + to_hex(random_bytes(16));
  if (zmq_socket_monitor(socket_.get(), address.c_str(), ZMQ_EVENT_ALL) != 0) raise("a monitor");
  monitor_ = new_socket(ZMQ_PAIR);
  if (zmq_connect(monitor_.get(), address.c_str()) != 0) raise("a monitor");
  attempt();
}

Dealer::~Dealer() { zmq_socket_monitor(socket_.get(), nullptr, 0); }

void Dealer::attempt() {
  // From here on, not from ZeroMQ's first word of it: its thread may be late, and of two connections under one routing
  // id a ROUTER hears one only.
  under_way_ = true;
  if (zmq_connect(socket_.get(), endpoint_.c_str()) != 0) raise("cannot connect to " + endpoint_);
}

void Dealer::send(const Bytes& frame) {
  if (made_)
    static_cast<void>(zmq_send(socket_.get(), frame.data(), frame.size(), ZMQ_DONTWAIT));
  else
    waiting_.push_back(frame);
}

bool Dealer::has_dropped() {
  while (const auto event = receive_message(monitor_.get())) {
    std::uint16_t number = 0;
    if (event->front().size() < sizeof number) continue;
    std::memcpy(&number, event->front().data(), sizeof number);
    handle(number);
  }
  if (!made_ && !under_way_ && std::chrono::steady_clock::now() >= next_attempt_) {
    static_cast<void>(zmq_disconnect(socket_.get(), endpoint_.c_str()));  // ZeroMQ may have forgotten it by itself
    attempt();
  }
  return dropped_;
}

void Dealer::handle(int event) {
  if (made_) {
    dropped_ = dropped_ || event == ZMQ_EVENT_DISCONNECTED;
  } else if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
    made_ = true;
    for (const auto& frame : waiting_) send(frame);
    waiting_.clear();
  } else if (event == ZMQ_EVENT_CONNECT_RETRIED || event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
             event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {  // one of these ends each attempt that comes to nothing
    under_way_ = false;
    next_attempt_ = std::chrono::steady_clock::now() + between_attempts;
  }
}

void Dealer::wait(std::chrono::steady_clock::duration most, const std::vector<int>& descriptors) const {
  std::vector<zmq_pollitem_t> items = {{socket_.get(), 0, ZMQ_POLLIN, 0}, {monitor_.get(), 0, ZMQ_POLLIN, 0}};
  for (const int descriptor : descriptors) items.push_back({nullptr, descriptor, ZMQ_POLLIN, 0});
  if (!made_ && !under_way_) most = std::min<std::chrono::steady_clock::duration>(most, between_attempts);
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(most).count();
  zmq_poll(items.data(), static_cast<int>(items.size()), std::max<long>(0, milliseconds));
}

Bytes random_bytes(std::size_t size) {
  Bytes bytes(size, '\0');
  if (getentropy(bytes.data(), size) != 0) throw std::system_error(errno, std::generic_category(), "getentropy");
  return bytes;
}

Bytes new_routing_id(const std::string& kind, const std::string& name) {
  return kind + "|" + name + "|" + to_hex(random_bytes(16));
}

std::string to_hex(const Bytes& bytes) {
  std::string text;
  for (const char byte : bytes)
    for (const int shift : {4, 0}) text += "0123456789abcdef"[(static_cast<unsigned char>(byte) >> shift) & 15];
  return text;
}

Bytes from_hex(const std::string& text) {
  Bytes bytes;
  if (text.size() % 2 != 0) throw std::invalid_argument("an odd number of hexadecimal digits");
  for (std::size_t at = 0; at < text.size(); at += 2) {
    std::size_t read = 0;
    bytes += static_cast<char>(std::stoi(text.substr(at, 2), &read, 16));
    if (read != 2) throw std::invalid_argument("no hexadecimal digits");
  }
  return bytes;
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace peer
