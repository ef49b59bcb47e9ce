// The tables are those of SPEC.md: the same rows, in the same words, in the same order.
#include <fstream>

#include "check.h"
#include "client_table.h"
#include "scheduler_table.h"
#include "worker_table.h"

namespace testing::tables_tests {
namespace {

using Cells = std::vector<std::string>;

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// The rows of the first table after the heading.
std::vector<Cells> rows_of_specification(const std::string& heading) {
  std::ifstream file(REPOSITORY "/SPEC.md");
  std::vector<Cells> rows;
  bool here = false;
  for (std::string line; std::getline(file, line);) {
    if (line == heading) here = true;
    if (!here) continue;
    if (!line.starts_with("|")) {
      if (rows.empty()) continue;
      break;
    }
    Cells cells;
    for (std::size_t at = 1, end = 0; (end = line.find('|', at)) != std::string::npos; at = end + 1)
      cells.push_back(trimmed(line.substr(at, end - at)));
    rows.push_back(cells);
  }
  if (rows.size() < 3) throw std::runtime_error("no table after " + heading);
  return {rows.begin() + 2, rows.end()};  // without the titles
}

void compare(const std::string& heading, const auto& table, const auto& states, const auto& events,
             const auto& actions) {
  const auto specified = rows_of_specification(heading);
  CHECK(specified.size() == table.size());
  for (std::size_t i = 0; i < std::min(specified.size(), table.size()); ++i) {
    const auto name = [](const auto& names, auto value) { return std::string(names[static_cast<std::size_t>(value)]); };
    const Cells ours = {name(states, table[i].state), name(events, table[i].event), name(states, table[i].next),
                        name(actions, table[i].action)};
    if (ours != specified[i]) std::cerr << "row " << i + 1 << ", " << ours[0] << ", " << ours[1] << "\n";
    CHECK(ours == specified[i]);
  }
}

}  // namespace

std::vector<Test> all() {
  using namespace peer;
  return {
      {"the scheduler's table",
       [] {
         using namespace scheduler;
         compare("### The scheduler's table", table, state_names, event_names, action_names);
       }},
      {"the worker's table",
       [] {
         using namespace worker;
         compare("### The worker's table", table, state_names, event_names, action_names);
       }},
      {"the client's table",
       [] {
         using namespace client;
         compare("### The client's table", table, state_names, event_names, action_names);
       }},
  };
}

}  // namespace testing::tables_tests
