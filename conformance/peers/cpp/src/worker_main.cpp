// Runs tasks until the scheduler says that it shall leave, or SIGTERM or SIGINT does.
#include <csignal>

#include "functions.h"
#include "options.h"
#include "worker.h"

namespace {

constexpr const char* usage =
    "cpp-worker ENDPOINT [--name NAME] [--queue-size N] [--processes N] [--heartbeat-interval S] [--scheduler-timeout S]\n"
    "                  [--storage DIRECTORY]";

peer::Worker* working = nullptr;

void run(const std::vector<std::string>& arguments) {
  peer::worker::Options options;
  std::string name = "cpp";
  peer::CommandLine line(arguments);
  const std::string endpoint = line.word();
  while (const auto option = line.option()) {
    if (*option == "--name")
      name = line.word();
    else if (*option == "--queue-size")
      options.queue_size = static_cast<std::uint32_t>(line.number(1'000'000));
    else if (*option == "--processes")
      options.processes = line.number(10'000, 1);
    else if (*option == "--heartbeat-interval")
      options.heartbeat_interval = line.seconds();
    else if (*option == "--scheduler-timeout")
      options.scheduler_timeout = line.seconds();
    else if (*option == "--storage")
      options.storage = {line.word(), 0, "file"};
    else
      line.refuse(*option);
  }
  peer::Worker worker(endpoint, name, options);
  working = &worker;
  for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { working->leave(); });
  worker.run();
}

}  // namespace

int main(int count, char** arguments) {
  if (const auto status = peer::run_as_task(count, arguments, peer::functions())) return *status;
  return peer::run_program(count, arguments, usage, run);
}
