// Submits one task and prints its result; with --cancel-after asks for its cancel after so many seconds and prints what
// came of it. Example: cpp-client tcp://127.0.0.1:6378 sleep 10 --cancel-after 1 --force
#include "client.h"
#include "options.h"

namespace {

constexpr const char* usage =
    "cpp-client ENDPOINT FUNCTION [ARGUMENT...] [--cancel-after S] [--force] [--storage DIRECTORY]";

void run(const std::vector<std::string>& arguments) {
  peer::CommandLine line(arguments);
  const std::string endpoint = line.word();
  const std::string function = line.word();
  std::vector<peer::Bytes> values;
  std::optional<std::chrono::nanoseconds> cancel_after;
  bool force = false;
  peer::client::Options options;
  while (const auto word = line.option()) {
    if (*word == "--cancel-after")
      cancel_after = line.seconds_or_zero();
    else if (*word == "--force")
      force = true;
    else if (*word == "--storage")
      options.storage = {line.word(), 0, "file"};
    else
      values.push_back(*word);
  }
  peer::Client client(endpoint, "cpp", options);
  const auto future = client.submit(function, values);
  if (cancel_after) {
    std::this_thread::sleep_for(*cancel_after);
    const bool cancelled = future->cancel(force);
    const auto outcome = future->outcome();
    std::cout << "cancel: " << (cancelled ? "true" : "false");
    if (outcome) std::cout << ", " << peer::client::outcome_names[static_cast<std::size_t>(*outcome)];
    std::cout << std::endl;
    if (cancelled) return;
  }
  std::cout << future->result() << std::endl;
}

}  // namespace

int main(int count, char** arguments) { return peer::run_program(count, arguments, usage, run); }
