// sleep, spin, echo, fail: what cpp-worker runs.
#include "functions.h"

#include <chrono>
#include <thread>

namespace peer {
namespace {

const Bytes& argument(const Call& call) {
  if (call.arguments.size() != 1) throw std::invalid_argument("this function takes one argument");
  return call.arguments.front();
}

std::chrono::duration<double> seconds(const Call& call) {
  return std::chrono::duration<double>(std::stod(argument(call)));
}

Bytes sleep(const Call& call) {
  std::this_thread::sleep_for(seconds(call));
  return "slept";
}

Bytes spin(const Call& call) {
  const auto until = std::chrono::steady_clock::now() + seconds(call);
  while (std::chrono::steady_clock::now() < until) {
  }
  return "spun";
}

Bytes echo(const Call& call) { return argument(call); }

Bytes fail(const Call& call) { throw std::runtime_error(argument(call)); }

}  // namespace

const Functions& functions() {
  static const Functions all = {{"sleep", sleep}, {"spin", spin}, {"echo", echo}, {"fail", fail}};
  return all;
}

}  // namespace peer
