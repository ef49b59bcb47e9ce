#include "task_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iostream>
#include <system_error>

#include "connection.h"

namespace peer {
namespace {

constexpr const char* flag = "--run-task";
// Descriptors of the supervisor.
constexpr int report_descriptor = 3;
constexpr int control_descriptor = 4;

[[noreturn]] void raise_error(int number, const char* doing) {
  throw std::system_error(number, std::generic_category(), doing);
}

std::array<int, 2> new_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) raise_error(errno, "pipe");
  return ends;
}

std::string argument_words(const Task& task) {
  std::string words;
  for (const auto& argument : task.functionArgs)
    words += (argument.type == ArgumentType::objectID ? "o" : "?") + to_hex(argument.data) + ",";
  return words;
}

// --- In the supervisor.

// The body and whatever it has started and left behind: each is a child of the supervisor, or becomes one when its own
// parent is ended. Returns when none is left.
void end_all_children() {
  while (true) {
    std::ifstream children("/proc/thread-self/children");
    for (pid_t child = 0; children >> child;) kill(child, SIGKILL);
    if (waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
  }
}

// In the body: 's' or 'f', as the task ended; its value or error is stored.
char run_body(const std::vector<std::string>& words, const Functions& functions) {
  const Store store({words.at(0), 0, words.at(1)});
  const Bytes result_id = from_hex(words.at(3));
  try {
    Call call{{}, store, result_id};
    std::string rest = words.at(4);
    for (std::size_t comma = 0; (comma = rest.find(',')) != std::string::npos; rest.erase(0, comma + 1)) {
      if (rest.at(0) != 'o') throw std::invalid_argument("an argument that is not the id of a payload");
      call.arguments.push_back(store.get(from_hex(rest.substr(1, comma - 1))));
    }
    const std::string name = store.get(from_hex(words.at(2)));
    const auto function = functions.find(name);
    if (function == functions.end()) throw std::invalid_argument("no function is named " + name);
    store.put(result_id, function->second(call));
    return 's';
  } catch (const std::exception& error) {
    store.put(result_id, error.what());
    return 'f';
  }
}

int supervise(const std::vector<std::string>& words, const Functions& functions) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (const int descriptor : {report_descriptor, control_descriptor}) fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  sigset_t child_ended{};
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, nullptr);
  const int signals = signalfd(-1, &child_ended, SFD_CLOEXEC);
  const auto said = new_pipe();

  const pid_t body = fork();
  if (body < 0) raise_error(errno, "fork");
  if (body == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_UNBLOCK, &child_ended, nullptr);
    for (const int descriptor : {report_descriptor, control_descriptor, signals, said[0]}) close(descriptor);
    char how = 'f';
    try {
      how = run_body(words, functions);
    } catch (const std::exception& error) {
      std::cerr << "not even the error can be stored: " << error.what() << std::endl;
      how = 'n';
    }
    const bool written = write(said[1], &how, 1) == 1;
    _exit(written ? 0 : 1);
  }
  close(said[1]);

  while (true) {
    std::array<pollfd, 2> waited = {{{control_descriptor, POLLIN, 0}, {signals, POLLIN, 0}}};
    if (poll(waited.data(), waited.size(), -1) < 0 && errno != EINTR) return 1;
    if (waited[0].revents != 0) {  // told to end, or the worker is gone
      end_all_children();
      return 0;
    }
    signalfd_siginfo ignored{};
    if (waited[1].revents == 0 || read(signals, &ignored, sizeof ignored) < 0) continue;
    for (pid_t ended = 0; (ended = waitpid(-1, nullptr, WNOHANG)) > 0;) {
      if (ended != body) continue;
      end_all_children();
      char how = 0;
      if (read(said[0], &how, 1) == 1 && write(report_descriptor, &how, 1) != 1) return 1;
      return 0;
    }
  }
}

}  // namespace

std::optional<int> run_as_task(int count, char** arguments, const Functions& functions) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  if (words.empty() || words.front() != flag) return std::nullopt;
  try {
    return supervise({words.begin() + 1, words.end()}, functions);
  } catch (const std::exception& error) {
    std::cerr << "a task's process: " << error.what() << "\n";
    return 1;
  }
}

// --- In the worker.

TaskProcess::TaskProcess(const Task& task, const ObjectStorageAddress& storage)
    : result_id_(new_payload_id()) {
  const auto report = new_pipe();
  const auto control = new_pipe();
  report_ = report[0];
  control_ = control[1];
  // Pipes might have been given the very numbers that they shall have in the child: move them out of the way first.
  const int report_end = fcntl(report[1], F_DUPFD_CLOEXEC, 10);
  const int control_end = fcntl(control[0], F_DUPFD_CLOEXEC, 10);
  close(report[1]);
  close(control[0]);
  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, report_end, report_descriptor);
  posix_spawn_file_actions_adddup2(&actions, control_end, control_descriptor);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);  // what a task prints is log
  std::vector<std::string> words = {"task",         flag,
                                    storage.host,   storage.scheme,
                                    to_hex(task.funcObjectId), to_hex(result_id_),
                                    argument_words(task)};
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const int error = posix_spawn(&supervisor_, "/proc/self/exe", &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(report_end);
  close(control_end);
  if (error != 0) {
    close(report_);
    close(control_);
    raise_error(error, "cannot start a task's process");
  }
}

TaskProcess::~TaskProcess() {
  end();
  if (supervisor_ > 0) waitpid(supervisor_, nullptr, 0);
  close(report_);
}

void TaskProcess::end() {
  if (control_ >= 0) close(control_);
  control_ = -1;
}

bool TaskProcess::has_ended() {
  while (supervisor_ > 0) {
    pollfd waited{report_, POLLIN, 0};
    if (poll(&waited, 1, 0) <= 0) return false;
    char how = 0;
    if (read(report_, &how, 1) == 1) {
      result_ = how == 's' ? ResultType::success : ResultType::failed;
      if (how == 'n') result_id_.clear();
      continue;
    }
    waitpid(supervisor_, nullptr, 0);  // it has closed its end: it ends
    supervisor_ = -1;
  }
  return true;
}

}  // namespace peer
