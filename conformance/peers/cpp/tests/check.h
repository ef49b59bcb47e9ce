// The little that these tests need of a framework: named tests, CHECK, and an exit status.
#pragma once

#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

namespace testing {

inline int failures = 0;

struct Test {
  std::string name;
  std::function<void()> body;
};

inline int run(const std::vector<Test>& tests) {
  for (const auto& [name, body] : tests) {
    const int before = failures;
    try {
      body();
    } catch (const std::exception& error) {
      std::cerr << "raised: " << error.what() << "\n";
      ++failures;
    }
    if (failures != before) std::cerr << "FAILED: " << name << "\n";
  }
  std::cout << tests.size() << " tests, " << failures << " failures\n";
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

// The tests of each file.
namespace client_tests { std::vector<Test> all(); }
namespace scheduler_tests { std::vector<Test> all(); }
namespace tables_tests { std::vector<Test> all(); }
namespace vectors_tests { std::vector<Test> all(); }
namespace worker_tests { std::vector<Test> all(); }

inline void check(bool holds, const char* what, int line) {
  if (holds) return;
  std::cerr << "line " << line << ": " << what << "\n";
  ++failures;
}

}  // namespace testing

#define CHECK(...) ::testing::check((__VA_ARGS__), #__VA_ARGS__, __LINE__)
