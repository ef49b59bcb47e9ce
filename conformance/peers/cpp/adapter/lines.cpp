#include "lines.h"

#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <mutex>
#include <thread>

namespace adapter {
namespace {

// Standard output belongs to the protocol: keep it for say(), and let everybody else write to the log.
const int output = [] {
  const int kept = dup(STDOUT_FILENO);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  return kept;
}();

void obey(const json& command, const std::map<std::string, Command>& commands) {
  json answer;
  try {
    const auto found = commands.find(command.at("command"));
    if (found == commands.end()) throw Unsupported{};
    answer = found->second(command);
    answer["event"] = "done";
  } catch (const Unsupported&) {
    answer = {{"event", "unsupported"}};
  } catch (const std::exception& error) {
    answer = {{"event", "raised"}, {"error", error.what()}};
  }
  answer["id"] = command.at("id");
  say(answer);
}

}  // namespace

void say(const json& event) {
  static std::mutex one_at_a_time;
  // An implementation may put any bytes into a text: what is not UTF-8 must not break the line.
  const std::string line = event.dump(-1, ' ', true, json::error_handler_t::replace) + "\n";
  const std::lock_guard lock(one_at_a_time);
  std::size_t written = 0;
  while (written < line.size()) {
    const auto count = write(output, line.data() + written, line.size() - written);
    if (count < 0) _exit(EXIT_FAILURE);
    written += static_cast<std::size_t>(count);
  }
}

const std::filesystem::path& storage_directory() {
  static const auto directory = [] {
    std::string name = (std::filesystem::temp_directory_path() / "cpp-peer-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no directory for payloads");
    return std::filesystem::path(name);
  }();
  return directory;
}

void serve(const std::string& role, const json& features, const std::map<std::string, Command>& commands) {
  say({{"event", "hello"},
       {"protocol", 1},
       {"role", role},
       {"name", "cpp"},
       {"version", "1"},
       {"features", features},
       {"storage", {{"scheme", "file"}, {"host", storage_directory().string()}, {"port", 0}}}});
  for (std::string line; std::getline(std::cin, line);) {
    // Each in a thread of its own: cancel() waits for an answer, and the suite goes on talking meanwhile.
    std::thread([command = json::parse(line), &commands] { obey(command, commands); }).detach();
  }
  std::error_code ignored;
  std::filesystem::remove_all(storage_directory(), ignored);
  _exit(EXIT_SUCCESS);
}

}  // namespace adapter
