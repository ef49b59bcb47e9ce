// Command lines of the three programs. What cannot be read raises std::invalid_argument, which names it.
#pragma once

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace peer {

class CommandLine {
  template <class Parse>
  auto parsed(Parse parse) {
    const std::string text = word();
    try {
      std::size_t read = 0;
      const auto value = parse(text, &read);
      if (read == text.size()) return value;
    } catch (const std::logic_error&) {
      // Not a number, or out of range: said below.
    }
    throw std::invalid_argument("not a number: " + text);
  }

 public:
  explicit CommandLine(std::vector<std::string> words) : words_(std::move(words)) {}

  // The next word; it must be there.
  std::string word() {
    if (at_ == words_.size()) throw std::invalid_argument("a word is missing at the end of the command line");
    return words_[at_++];
  }
  // The next word, if there is one.
  std::optional<std::string> option() {
    if (at_ == words_.size()) return std::nullopt;
    return words_[at_++];
  }
  std::chrono::nanoseconds seconds_or_zero() {
    const double value = parsed([](const std::string& text, std::size_t* read) { return std::stod(text, read); });
    if (!(value >= 0 && value < 1e9)) throw std::invalid_argument("a number of seconds below 0, or too large");
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(value));
  }
  std::chrono::nanoseconds seconds() {
    const auto value = seconds_or_zero();
    if (value.count() == 0) throw std::invalid_argument("a time of 0 seconds");
    return value;
  }
  bool truth() {
    const std::string text = word();
    if (text != "true" && text != "false") throw std::invalid_argument("neither true nor false: " + text);
    return text == "true";
  }
  unsigned long number(unsigned long most, unsigned long least = 0) {
    const auto value =
        parsed([](const std::string& text, std::size_t* read) { return std::stoul(text, read, 10); });
    if (value < least) throw std::invalid_argument("a number below " + std::to_string(least));
    if (value > most) throw std::invalid_argument("a number above " + std::to_string(most));
    return value;
  }
  [[noreturn]] void refuse(const std::string& option) const {
    throw std::invalid_argument("unknown option " + option);
  }

 private:
  std::vector<std::string> words_;
  std::size_t at_ = 0;
};

// The body of main(): what is raised is told on standard error and makes the exit status 2. `usage`: what --help shows,
// and who gives no words at all.
template <class Run>
int run_program(int count, char** arguments, const char* usage, Run run) {
  try {
    const std::vector<std::string> words(arguments + 1, arguments + count);
    if (words.empty() || words.front() == "--help") {
      (words.empty() ? std::cerr : std::cout) << "usage: " << usage << "\n";
      return words.empty() ? 2 : EXIT_SUCCESS;
    }
    run(words);
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    std::cerr << arguments[0] << ": " << error.what() << "\n";
    return 2;
  }
}

}  // namespace peer
