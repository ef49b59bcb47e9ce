// The adapter that holds the client: conformance/ADAPTER.md, "A client's commands".
#include <future>

#include "adapters.h"
#include "client.h"
#include "lines.h"

namespace adapter {
namespace {

class ClientAdapter {
 public:
  json connect(const json& command) {
    peer::client::Options options;
    const auto seconds = [&command](const char* name, auto& option) {
      if (!command.contains(name)) return;
      const std::chrono::duration<double> value(command.at(name).get<double>());
      option = std::chrono::duration_cast<peer::client::Duration>(value);
    };
    seconds("heartbeat_interval", options.heartbeat_interval);
    seconds("scheduler_timeout", options.scheduler_timeout);
    if (command.contains("storage")) options.storage = {command.at("storage").at("host"), 0, "file"};
    auto client = std::make_unique<peer::Client>(command.at("endpoint"), "adapter", options);
    const std::lock_guard lock(mutex_);
    clients_.push_back(std::move(client));  // the one before keeps its futures
    return json::object();
  }

  json submit(const json& command) {
    std::vector<peer::Bytes> arguments;
    for (const auto& argument : command.value("arguments", json::array({"any value"})))
      arguments.push_back(argument.dump());
    const auto future = client().submit(command.value("function", "echo"), arguments);
    {
      const std::lock_guard lock(mutex_);
      futures_[command.at("task")] = future;
    }
    future->add_done_callback([task = command.at("task")](peer::Future& settled) {
      say({{"event", "settled"}, {"task", task}, {"outcome", settled.cancelled() ? "cancelled" : "finished"}});
    });
    return {{"task_id", peer::to_hex(future->task_id())}};
  }

  json cancel(const json& command) {
    auto limit = peer::Future::default_time_limit;
    if (command.contains("time_limit") && !command.at("time_limit").is_null())
      limit = peer::Future::Seconds(command.at("time_limit").get<double>());
    return {{"returned", future(command.at("task"))->cancel(command.at("force"), limit)}};
  }

  json cancelled(const json& command) { return {{"returned", future(command.at("task"))->cancelled()}}; }

  json state(const json& command) {
    const auto asked = future(command.at("task"));
    return {{"settled", asked->done()}, {"running", asked->running()}};
  }

  json result(const json& command) {
    try {
      const auto result = future(command.at("task"))->result();
      json answer = {{"outcome", "value"}, {"text", result}};
      const auto value = json::parse(result, nullptr, false);
      if (!value.is_discarded()) answer["value"] = value;  // what a function of `rescind interop` returned
      return answer;
    } catch (const peer::CancelledError&) {
      return {{"outcome", "cancelled"}};
    } catch (const std::runtime_error& error) {
      return {{"outcome", "error"}, {"text", error.what()}};
    }
  }

  json outcome(const json& command) {
    const auto outcome = future(command.at("task"))->outcome();
    if (!outcome) return {{"outcome", nullptr}};
    return {{"outcome", peer::client::outcome_names[static_cast<std::size_t>(*outcome)]}};
  }

  json cancel_in_callback(const json& command) {
    const auto other = future(command.at("task"));
    std::promise<bool> returned;
    future(command.at("of"))->add_done_callback([&](peer::Future&) {
      const bool answer = other->cancel();
      try {
        if (other->cancelled()) static_cast<void>(other->result());
      } catch (const peer::CancelledError&) {
        // That is what a cancelled future does.
      }
      returned.set_value(answer);
    });
    return {{"returned", returned.get_future().get()}};
  }

  json payload(const json& command) {
    const auto id = peer::new_payload_id();
    store_.put(id, command.at("text"));  // the TaskResult says whether it is an error
    return {{"object_id", peer::to_hex(id)}};
  }

  json stored(const json& command) {
    return {{"returned", store_.contains(peer::from_hex(command.at("object_id")))}};
  }

  json disconnect(const json&) {
    client().disconnect();
    return json::object();
  }

 private:
  peer::Client& client() {
    const std::lock_guard lock(mutex_);
    return *clients_.back();
  }
  std::shared_ptr<peer::Future> future(const std::string& task) {
    const std::lock_guard lock(mutex_);
    return futures_.at(task);
  }

  peer::Store store_{{storage_directory().string(), 0, "file"}};
  std::mutex mutex_{};
  std::vector<std::unique_ptr<peer::Client>> clients_{};
  std::map<std::string, std::shared_ptr<peer::Future>> futures_{};
};

}  // namespace

int run_client_adapter() {
  ClientAdapter one;
  std::map<std::string, Command> commands;
  const auto add = [&](const char* name, json (ClientAdapter::*method)(const json&)) {
    commands[name] = [&one, method](const json& command) { return (one.*method)(command); };
  };
  add("connect", &ClientAdapter::connect);
  add("submit", &ClientAdapter::submit);
  add("cancel", &ClientAdapter::cancel);
  add("cancelled", &ClientAdapter::cancelled);
  add("state", &ClientAdapter::state);
  add("result", &ClientAdapter::result);
  add("outcome", &ClientAdapter::outcome);
  add("cancel_in_callback", &ClientAdapter::cancel_in_callback);
  add("payload", &ClientAdapter::payload);
  add("stored", &ClientAdapter::stored);
  add("disconnect", &ClientAdapter::disconnect);
  serve("client", {"force", "time-limit", "outcome", "timeouts", "release"}, commands);
}

}  // namespace adapter
