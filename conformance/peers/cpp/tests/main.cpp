// Runs the tests of one subject.
#include <map>

#include "check.h"

int main(int count, char** arguments) {
  using namespace testing;
  const std::map<std::string, std::vector<Test> (*)()> subjects = {
      {"client", client_tests::all}, {"scheduler", scheduler_tests::all}, {"tables", tables_tests::all},
      {"vectors", vectors_tests::all}, {"worker", worker_tests::all}};
  const auto found = count == 2 ? subjects.find(arguments[1]) : subjects.end();
  if (found == subjects.end()) {
    std::cerr << "give one of: client, scheduler, tables, vectors, worker\n";
    return EXIT_FAILURE;
  }
  return run(found->second());
}
