// What the scenarios of `rescind interop` have run, under the names that they have in Python: in place of
// src/functions.cpp in the worker that the scenarios play with. Arguments and results are JSON.
#include "functions.h"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

namespace peer {
namespace {

using nlohmann::json;

json argument(const Call& call, std::size_t number) { return json::parse(call.arguments.at(number)); }
std::string text(const Call& call, std::size_t number) { return argument(call, number).get<std::string>(); }

Bytes echo(const Call& call) { return call.arguments.at(0); }

Bytes add(const Call& call) {
  const long two = call.arguments.size() > 1 ? argument(call, 1).get<long>() : 10;
  return json(argument(call, 0).get<long>() + two).dump();
}

Bytes fail(const Call& call) { throw std::runtime_error(text(call, 0)); }

// Says in the file `noted` which process runs it, and returns when there is a file `go`.
void note_and_wait_for(const std::string& noted, const std::string& go) {
  const std::string part = noted + ".part";
  std::ofstream(part) << getpid();
  std::filesystem::rename(part, noted);
  while (!std::filesystem::exists(go)) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

Bytes note_and_wait(const Call& call) {
  note_and_wait_for(text(call, 0), text(call, 1));
  return json(call.arguments.size() > 2 ? text(call, 2).size() : 0).dump();
}

// Says that it ran.
Bytes note(const Call& call) {
  std::ofstream file(text(call, 0));
  return "null";
}

// As `note_and_wait` the first time that it is run, and at once after that.
Bytes wait_once(const Call& call) {
  if (std::filesystem::exists(text(call, 0))) return json("again").dump();
  note_and_wait_for(text(call, 0), text(call, 1));
  return json("first").dump();
}

// Ends the process that runs it, without a word.
Bytes die(const Call&) {
  kill(getpid(), SIGKILL);
  return "null";
}

}  // namespace

const Functions& functions() {
  static const Functions all = {{"echo", echo}, {"add", add},
                                {"fail", fail}, {"note_and_wait", note_and_wait},
                                {"note", note}, {"wait_once", wait_once},
                                {"die", die}};
  return all;
}

}  // namespace peer
