// SPEC.md, section 4, "The scheduler's table": one task.
// The names are SPEC.md's; tests/test_tables.cpp compares every row with the text of SPEC.md.
#pragma once

#include "table.h"

namespace peer::scheduler {

enum class State {
  waiting, queued, dispatched, canceling, escalated, forcing, rebalancing, abandoned, ended
};

enum class Event {
  ready, skip, cancel, cancel_force, owner_lost, close, dispatch, rebalance, result, worker_lost,
  worker_lost_again, canceled, cancelFailed, cancelNotFound
};

enum class Action {
  nothing, the_failure_to_owner, canceled_to_owner, Task_to_worker, TaskCancel_to_worker,
  TaskCancel_force_to_worker, the_answer_to_owner, failedWorkerDied_to_owner
};

// As SPEC.md writes them, in the order of the enumerations.
inline constexpr std::array state_names = {
    "waiting", "queued", "dispatched", "canceling", "escalated", "forcing", "rebalancing", "abandoned", "ended"};
inline constexpr std::array event_names = {
    "ready", "skip", "cancel", "cancel, force", "owner lost", "close", "dispatch", "rebalance", "result",
    "worker lost", "worker lost again", "canceled", "cancelFailed", "cancelNotFound"};
inline constexpr std::array action_names = {
    "nothing", "the failure to owner", "canceled to owner", "Task to worker", "TaskCancel to worker",
    "TaskCancel, force, to worker", "the answer to owner", "failedWorkerDied to owner"};

inline constexpr auto table = [] {
  using enum State;
  using Transition = Row<State, Event, Action>;
  return std::array{
      Transition{waiting,     Event::ready,             queued,      Action::nothing},
      Transition{waiting,     Event::skip,              ended,       Action::the_failure_to_owner},
      Transition{waiting,     Event::cancel,            ended,       Action::canceled_to_owner},
      Transition{waiting,     Event::cancel_force,      ended,       Action::canceled_to_owner},
      Transition{waiting,     Event::owner_lost,        ended,       Action::nothing},
      Transition{waiting,     Event::close,             ended,       Action::canceled_to_owner},
      Transition{queued,      Event::skip,              ended,       Action::the_failure_to_owner},
      Transition{queued,      Event::dispatch,          dispatched,  Action::Task_to_worker},
      Transition{queued,      Event::cancel,            ended,       Action::canceled_to_owner},
      Transition{queued,      Event::cancel_force,      ended,       Action::canceled_to_owner},
      Transition{queued,      Event::owner_lost,        ended,       Action::nothing},
      Transition{queued,      Event::close,             ended,       Action::canceled_to_owner},
      Transition{dispatched,  Event::cancel,            canceling,   Action::TaskCancel_to_worker},
      Transition{dispatched,  Event::cancel_force,      forcing,     Action::TaskCancel_force_to_worker},
      Transition{dispatched,  Event::rebalance,         rebalancing, Action::TaskCancel_to_worker},
      Transition{dispatched,  Event::result,            ended,       Action::the_answer_to_owner},
      Transition{dispatched,  Event::worker_lost,       queued,      Action::nothing},
      Transition{dispatched,  Event::worker_lost_again, ended,       Action::failedWorkerDied_to_owner},
      Transition{dispatched,  Event::owner_lost,        abandoned,   Action::TaskCancel_force_to_worker},
      Transition{dispatched,  Event::close,             ended,       Action::canceled_to_owner},
      Transition{canceling,   Event::cancel,            canceling,   Action::nothing},
      Transition{canceling,   Event::cancel_force,      escalated,   Action::TaskCancel_force_to_worker},
      Transition{canceling,   Event::result,            ended,       Action::the_answer_to_owner},
      Transition{canceling,   Event::canceled,          ended,       Action::the_answer_to_owner},
      Transition{canceling,   Event::cancelFailed,      dispatched,  Action::the_answer_to_owner},
      Transition{canceling,   Event::cancelNotFound,    ended,       Action::the_answer_to_owner},
      Transition{canceling,   Event::worker_lost,       ended,       Action::canceled_to_owner},
      Transition{canceling,   Event::worker_lost_again, ended,       Action::canceled_to_owner},
      Transition{canceling,   Event::owner_lost,        abandoned,   Action::TaskCancel_force_to_worker},
      Transition{canceling,   Event::close,             ended,       Action::canceled_to_owner},
      Transition{escalated,   Event::cancel,            escalated,   Action::nothing},
      Transition{escalated,   Event::cancel_force,      escalated,   Action::nothing},
      Transition{escalated,   Event::result,            ended,       Action::the_answer_to_owner},
      Transition{escalated,   Event::canceled,          ended,       Action::the_answer_to_owner},
      Transition{escalated,   Event::cancelFailed,      forcing,     Action::nothing},
      Transition{escalated,   Event::cancelNotFound,    ended,       Action::the_answer_to_owner},
      Transition{escalated,   Event::worker_lost,       ended,       Action::canceled_to_owner},
      Transition{escalated,   Event::worker_lost_again, ended,       Action::canceled_to_owner},
      Transition{escalated,   Event::owner_lost,        abandoned,   Action::nothing},
      Transition{escalated,   Event::close,             ended,       Action::canceled_to_owner},
      Transition{forcing,     Event::cancel,            forcing,     Action::nothing},
      Transition{forcing,     Event::cancel_force,      forcing,     Action::nothing},
      Transition{forcing,     Event::result,            ended,       Action::the_answer_to_owner},
      Transition{forcing,     Event::canceled,          ended,       Action::the_answer_to_owner},
      Transition{forcing,     Event::cancelFailed,      dispatched,  Action::the_answer_to_owner},
      Transition{forcing,     Event::cancelNotFound,    ended,       Action::the_answer_to_owner},
      Transition{forcing,     Event::worker_lost,       ended,       Action::canceled_to_owner},
      Transition{forcing,     Event::worker_lost_again, ended,       Action::canceled_to_owner},
      Transition{forcing,     Event::owner_lost,        abandoned,   Action::nothing},
      Transition{forcing,     Event::close,             ended,       Action::canceled_to_owner},
      Transition{rebalancing, Event::cancel,            canceling,   Action::nothing},
      Transition{rebalancing, Event::cancel_force,      escalated,   Action::TaskCancel_force_to_worker},
      Transition{rebalancing, Event::result,            ended,       Action::the_answer_to_owner},
      Transition{rebalancing, Event::canceled,          queued,      Action::nothing},
      Transition{rebalancing, Event::cancelFailed,      dispatched,  Action::nothing},
      Transition{rebalancing, Event::cancelNotFound,    queued,      Action::nothing},
      Transition{rebalancing, Event::worker_lost,       queued,      Action::nothing},
      Transition{rebalancing, Event::worker_lost_again, ended,       Action::failedWorkerDied_to_owner},
      Transition{rebalancing, Event::owner_lost,        abandoned,   Action::TaskCancel_force_to_worker},
      Transition{rebalancing, Event::close,             ended,       Action::canceled_to_owner},
      Transition{abandoned,   Event::result,            ended,       Action::nothing},
      Transition{abandoned,   Event::canceled,          ended,       Action::nothing},
      Transition{abandoned,   Event::cancelFailed,      abandoned,   Action::nothing},
      Transition{abandoned,   Event::cancelNotFound,    ended,       Action::nothing},
      Transition{abandoned,   Event::worker_lost,       ended,       Action::nothing},
      Transition{abandoned,   Event::worker_lost_again, ended,       Action::nothing},
      Transition{abandoned,   Event::close,             ended,       Action::nothing},
  };
}();

}  // namespace peer::scheduler
