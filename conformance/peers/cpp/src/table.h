// What the three tables of SPEC.md have in common: rows, and the look-up of the one that holds.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

namespace peer {

template <class State, class Event, class Action>
struct Row {
  State state;
  Event event;
  State next;
  Action action;
};

// The row for a state and an event; none if the pair is not listed, which means: change nothing, do nothing.
template <class State, class Event, class Action, std::size_t size>
constexpr std::optional<Row<State, Event, Action>> find(const std::array<Row<State, Event, Action>, size>& table,
                                                        State state, Event event) {
  for (const auto& row : table)
    if (row.state == state && row.event == event) return row;
  return std::nullopt;
}

}  // namespace peer
