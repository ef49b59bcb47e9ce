// The bodies of tasks that the suite asks a worker's adapter for, and the socket by which they are watched.
#pragma once

#include "lines.h"
#include "task_process.h"

#include <list>
#include <mutex>

namespace adapter {

// "return", "raise", "unstorable", "hold", "spin", "die", "spawn", "half". The arguments of each: the path of the
// adapter's socket and the name of the task.
const peer::Functions& bodies();

// The adapter's end of the socket. From any thread.
class Watch {
 public:
  // Listens, and says `started` of each body that begins.
  Watch();
  const std::string& path() const { return path_; }
  void release(const std::string& task);
  // Whether a process of the body's still exists: looked at now.
  bool running(const std::string& task);

 private:
  void attend(int connection);

  std::string path_;
  int listener_;
  std::mutex mutex_{};
  std::list<std::pair<std::string, int>> connections_{};  // with the name of the task
};

}  // namespace adapter
