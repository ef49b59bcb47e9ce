// SPEC.md, section 5, "The worker's table": one assignment.
// The names are SPEC.md's; tests/test_tables.cpp compares every row with the text of SPEC.md.
#pragma once

#include "table.h"

namespace peer::worker {

enum class State {
  queued, running, ending, leaving, ended
};

enum class Event {
  start, cancel, cancel_force, leave, finished, process_ended
};

enum class Action {
  start_it, TaskCancelConfirm_canceled, nothing, TaskCancelConfirm_cancelFailed, end_its_process, TaskResult,
  TaskResult_failedWorkerDied
};

// As SPEC.md writes them, in the order of the enumerations.
inline constexpr std::array state_names = {
    "queued", "running", "ending", "leaving", "ended"};
inline constexpr std::array event_names = {
    "start", "cancel", "cancel, force", "leave", "finished", "process ended"};
inline constexpr std::array action_names = {
    "start it", "TaskCancelConfirm, canceled", "nothing", "TaskCancelConfirm, cancelFailed", "end its process",
    "TaskResult", "TaskResult, failedWorkerDied"};

inline constexpr auto table = [] {
  using enum State;
  using Transition = Row<State, Event, Action>;
  return std::array{
      Transition{queued,  Event::start,         running, Action::start_it},
      Transition{queued,  Event::cancel,        ended,   Action::TaskCancelConfirm_canceled},
      Transition{queued,  Event::cancel_force,  ended,   Action::TaskCancelConfirm_canceled},
      Transition{queued,  Event::leave,         ended,   Action::nothing},
      Transition{running, Event::cancel,        running, Action::TaskCancelConfirm_cancelFailed},
      Transition{running, Event::cancel_force,  ending,  Action::end_its_process},
      Transition{running, Event::finished,      ended,   Action::TaskResult},
      Transition{running, Event::process_ended, ended,   Action::TaskResult_failedWorkerDied},
      Transition{running, Event::leave,         leaving, Action::end_its_process},
      Transition{ending,  Event::cancel,        ending,  Action::nothing},
      Transition{ending,  Event::cancel_force,  ending,  Action::nothing},
      Transition{ending,  Event::finished,      ending,  Action::nothing},
      Transition{ending,  Event::process_ended, ended,   Action::TaskCancelConfirm_canceled},
      Transition{ending,  Event::leave,         leaving, Action::nothing},
      Transition{leaving, Event::cancel,        leaving, Action::nothing},
      Transition{leaving, Event::cancel_force,  leaving, Action::nothing},
      Transition{leaving, Event::finished,      leaving, Action::nothing},
      Transition{leaving, Event::process_ended, ended,   Action::nothing},
  };
}();

}  // namespace peer::worker
