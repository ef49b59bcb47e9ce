// The adapter that holds the worker: conformance/ADAPTER.md, "A worker's commands".
#include <condition_variable>
#include <thread>

#include "adapters.h"
#include "bodies.h"
#include "worker.h"

namespace adapter {
namespace {

class WorkerAdapter {
 public:
  json start(const json& command) {
    peer::worker::Options options;
    options.processes = command.at("processes");
    options.queue_size = command.at("queue_size");
    const auto seconds = [&command](const char* name, auto& option) {
      if (!command.contains(name)) return;
      const std::chrono::duration<double> value(command.at(name).get<double>());
      option = std::chrono::duration_cast<peer::worker::Duration>(value);
    };
    seconds("heartbeat_interval", options.heartbeat_interval);
    seconds("scheduler_timeout", options.scheduler_timeout);
    worker_ = std::make_unique<peer::Worker>(command.at("endpoint"), "adapter", options);
    std::thread([this] {
      worker_->run();
      const std::lock_guard lock(mutex_);
      exited_ = true;
      changed_.notify_all();
    }).detach();
    return json::object();
  }

  json task(const json& command) {
    return {{"function_id", stored_as(command.at("body"))},
            {"arguments", {stored_as(watch_.path()), stored_as(command.at("task"))}}};
  }

  json release(const json& command) {
    watch_.release(command.at("task"));
    return json::object();
  }

  json running(const json& command) { return {{"returned", watch_.running(command.at("task"))}}; }

  json stored(const json& command) {
    return {{"returned", store_.contains(peer::from_hex(command.at("object_id")))}};
  }

  json leave(const json&) {
    worker_->leave();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return exited_; });
    return json::object();
  }

  json exited(const json&) {
    const std::lock_guard lock(mutex_);
    return {{"returned", exited_}};
  }

 private:
  std::string stored_as(const std::string& payload) {
    const auto id = peer::new_payload_id();
    store_.put(id, payload);
    return peer::to_hex(id);
  }

  peer::Store store_{{storage_directory().string(), 0, "file"}};
  Watch watch_{};
  std::unique_ptr<peer::Worker> worker_{};
  std::mutex mutex_{};
  std::condition_variable changed_{};
  bool exited_ = false;
};

}  // namespace

int run_worker_adapter(int count, char** arguments) {
  if (const auto status = peer::run_as_task(count, arguments, bodies())) return *status;
  WorkerAdapter one;
  serve("worker", {"timeouts", "release", "processes", "leave"},
        {{"start", [&](const json& command) { return one.start(command); }},
         {"task", [&](const json& command) { return one.task(command); }},
         {"release", [&](const json& command) { return one.release(command); }},
         {"running", [&](const json& command) { return one.running(command); }},
         {"stored", [&](const json& command) { return one.stored(command); }},
         {"leave", [&](const json& command) { return one.leave(command); }},
         {"exited", [&](const json& command) { return one.exited(command); }}});
}

}  // namespace adapter
