// SPEC.md, section 6, "The client's table": one future.
// The names are SPEC.md's; tests/test_tables.cpp compares every row with the text of SPEC.md.
#pragma once

#include "table.h"

namespace peer::client {

enum class State {
  running, canceling, finished, cancelled
};

enum class Event {
  cancel, cancel_force, result, canceled, cancelNotFound, disconnect, cancelFailed, time_limit
};

enum class Action {
  TaskCancel, TaskCancel_force, deliver_the_result, cancelled_confirmed, cancelled_not_found,
  cancelled_disconnected, join_the_round, cancelled_result_discarded, round_ends_refused, cancelled_timed_out
};

// As SPEC.md writes them, in the order of the enumerations.
inline constexpr std::array state_names = {
    "running", "canceling", "finished", "cancelled"};
inline constexpr std::array event_names = {
    "cancel", "cancel, force", "result", "canceled", "cancelNotFound", "disconnect", "cancelFailed", "time limit"};
inline constexpr std::array action_names = {
    "TaskCancel", "TaskCancel, force", "deliver the result", "cancelled: confirmed", "cancelled: not found",
    "cancelled: disconnected", "join the round", "cancelled: result discarded", "round ends: refused",
    "cancelled: timed out"};

inline constexpr auto table = [] {
  using enum State;
  using Transition = Row<State, Event, Action>;
  return std::array{
      Transition{running,   Event::cancel,         canceling, Action::TaskCancel},
      Transition{running,   Event::cancel_force,   canceling, Action::TaskCancel_force},
      Transition{running,   Event::result,         finished,  Action::deliver_the_result},
      Transition{running,   Event::canceled,       cancelled, Action::cancelled_confirmed},
      Transition{running,   Event::cancelNotFound, cancelled, Action::cancelled_not_found},
      Transition{running,   Event::disconnect,     cancelled, Action::cancelled_disconnected},
      Transition{canceling, Event::cancel,         canceling, Action::join_the_round},
      Transition{canceling, Event::cancel_force,   canceling, Action::join_the_round},
      Transition{canceling, Event::result,         cancelled, Action::cancelled_result_discarded},
      Transition{canceling, Event::canceled,       cancelled, Action::cancelled_confirmed},
      Transition{canceling, Event::cancelFailed,   running,   Action::round_ends_refused},
      Transition{canceling, Event::cancelNotFound, cancelled, Action::cancelled_not_found},
      Transition{canceling, Event::time_limit,     cancelled, Action::cancelled_timed_out},
      Transition{canceling, Event::disconnect,     cancelled, Action::cancelled_disconnected},
  };
}();

}  // namespace peer::client
