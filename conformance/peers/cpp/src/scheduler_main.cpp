// Prints the endpoint that it has bound, and serves until SIGTERM, SIGINT or a client's shutdown.
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <limits>

#include "options.h"
#include "scheduler.h"

namespace {

constexpr const char* usage =
    "cpp-scheduler ENDPOINT [--worker-timeout S] [--client-timeout S] [--grace S] [--rebalance-interval S]\n"
    "                     [--accept-shutdown true|false] [--max-tasks-per-client N] [--max-peers N]\n"
    "                     [--max-bytes-per-client N] [--max-tasks-per-worker N] [--storage SCHEME HOST PORT]";

constexpr unsigned long most_limit = 1'000'000'000;
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
    else if (*option == "--rebalance-interval")
      options.rebalance_interval = line.seconds_or_zero();
    else if (*option == "--accept-shutdown")
      options.accept_shutdown = line.truth();
    else if (*option == "--max-tasks-per-client")
      options.most_tasks_of_client = line.number(most_limit);
    else if (*option == "--max-bytes-per-client")
      options.most_bytes_of_client = line.number(std::numeric_limits<long>::max());
    else if (*option == "--max-tasks-per-worker")
      options.most_tasks_of_worker = static_cast<std::uint32_t>(line.number(most_limit));
    else if (*option == "--max-peers")
      options.most_peers_of_role = line.number(most_limit);
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
  std::cout << "listening on " << scheduler.endpoint() << std::endl;
  scheduler.run();
}

}  // namespace

int main(int count, char** arguments) { return peer::run_program(count, arguments, usage, run); }
