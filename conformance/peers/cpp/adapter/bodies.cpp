#include "bodies.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <thread>

#include "connection.h"

namespace adapter {
namespace {

using peer::Bytes;
using peer::Call;

[[noreturn]] void raise_error(const char* doing) { throw std::system_error(errno, std::generic_category(), doing); }

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::invalid_argument("the path of a socket is too long: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// --- In the task's process.

void wait_for_byte(int connection) {
  char byte = 0;
  if (read(connection, &byte, 1) != 1) throw std::runtime_error("the adapter is gone");
}

// Says that the body of a task has begun, and waits until the adapter has passed that on.
int begin(const Call& call, const std::string& more = "") {
  const int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = address_of(call.arguments.at(0));
  if (connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) raise_error("connect");
  const std::string line = call.arguments.at(1) + more + "\n";
  if (write(connection, line.data(), line.size()) != static_cast<ssize_t>(line.size())) raise_error("write");
  wait_for_byte(connection);
  return connection;
}

Bytes return_value(const Call& call) {
  begin(call);
  return "a value";
}

Bytes raise_on_purpose(const Call& call) {
  begin(call);
  throw std::runtime_error("raised on purpose");
}

Bytes unstorable(const Call& call) {
  begin(call);
  return Bytes(peer::Store::largest + 1, 'x');
}

Bytes hold(const Call& call) {
  wait_for_byte(begin(call));
  return "held";
}

Bytes spin(const Call& call) {
  const int connection = begin(call);
  char byte = 0;
  while (recv(connection, &byte, 1, MSG_DONTWAIT) < 0) {
  }
  return "spun";
}

Bytes die(const Call& call) {
  begin(call);
  kill(getpid(), SIGKILL);
  return "not reached";
}

Bytes spawn(const Call& call) {
  const int connection = begin(call);
  const pid_t child = fork();
  if (child < 0) raise_error("fork");
  if (child == 0) {
    setsid();
    while (true) pause();  // it has the connection, too
  }
  wait_for_byte(connection);
  return "spawned";
}

Bytes half(const Call& call) {
  call.store.put(call.result_id, "half a result");
  wait_for_byte(begin(call, " " + peer::to_hex(call.result_id)));
  return "the whole";
}

}  // namespace

const peer::Functions& bodies() {
  static const peer::Functions all = {{"return", return_value}, {"raise", raise_on_purpose},
                                      {"unstorable", unstorable}, {"hold", hold},
                                      {"spin", spin},           {"die", die},
                                      {"spawn", spawn},         {"half", half}};
  return all;
}

// --- In the adapter.

Watch::Watch()
    : path_((storage_directory() / "watch").string()), listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const auto address = address_of(path_);
  if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(listener_, 100) != 0)
    raise_error("listen");
  std::thread([this] {
    for (int connection = 0; (connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;)
      attend(connection);
  }).detach();
}

void Watch::attend(int connection) {
  std::string line;
  for (char byte = 0; read(connection, &byte, 1) == 1 && byte != '\n';) line += byte;
  const auto space = line.find(' ');
  const std::string task = line.substr(0, space);
  if (task.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    connections_.emplace_back(task, connection);
  }
  json event = {{"event", "started"}, {"task", task}};
  if (space != std::string::npos) event["object_id"] = line.substr(space + 1);
  say(event);
  release(task);  // not before: what the body does then comes after `started`
}

void Watch::release(const std::string& task) {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, connection] : connections_)
    if (name == task) static_cast<void>(send(connection, "!", 1, MSG_NOSIGNAL));  // it may have ended
}

bool Watch::running(const std::string& task) {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, connection] : connections_) {
    char byte = 0;
    if (name == task && recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) return true;
  }
  return false;
}

}  // namespace adapter
