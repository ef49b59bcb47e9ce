// What conformance/ADAPTER.md says of lines: commands on standard input, events on standard output.
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>

namespace adapter {

using nlohmann::json;

// The implementation has no such function.
struct Unsupported {};

// Takes a command's fields and returns the fields of `done`.
using Command = std::function<json(const json&)>;

// One event: one line, whole and at once. From any thread.
void say(const json& event);

// A directory for payloads, removed by serve().
const std::filesystem::path& storage_directory();

// Says hello, then answers each command, in a thread of its own, until standard input ends; then ends the process.
[[noreturn]] void serve(const std::string& role, const json& features, const std::map<std::string, Command>& commands);

}  // namespace adapter
