// cpp-scheduler ENDPOINT [--worker-timeout S] [--client-timeout S] [--grace S] [--storage SCHEME HOST PORT]
//
// Prints the endpoint that it has bound, and serves until SIGTERM, SIGINT or a client's shutdown.
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "options.h"
#include "scheduler.h"

namespace {

peer::Scheduler* serving = nullptr;

void run(const std::vector<std::string>& arguments) {
  peer::scheduler::Options options;
  options.storage = {"/tmp", 0, "file"};
  peer::CommandLine line(arguments);
  const std::string endpoint = line.word();
  while (const auto option = line.option()) {
    if (*option == "--worker-timeout")
      options.worker_timeout = line.seconds();
    else if (*option == "--client-timeout")
      options.client_timeout = line.seconds();
    else if (*option == "--grace")
      options.grace = line.seconds();
    else if (*option == "--storage") {
      options.storage.scheme = line.word();
      options.storage.host = line.word();
      options.storage.port = static_cast<std::uint16_t>(line.number(65535));
    } else
      line.refuse(*option);
  }
  peer::Scheduler scheduler(endpoint, options);
  serving = &scheduler;
  for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { serving->shut_down(); });
  std::cout << scheduler.endpoint() << std::endl;
  scheduler.run();
}

}  // namespace

int main(int count, char** arguments) { return peer::run_program(count, arguments, run); }
