// The adapters' programs, without the JSON that they speak.
#pragma once

namespace adapter {

// Each until standard input ends; then the process ends. Returns the status of a process that has run a task.
int run_client_adapter();
int run_worker_adapter(int count, char** arguments);

}  // namespace adapter
