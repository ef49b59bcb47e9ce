/**
 * State machines as tables that look like those of SPEC.md: one row for each pair of state and event, with the next
 * state and what is done.
 */

export type Row<State extends string, Event extends string, Action extends string> = readonly [
  state: State,
  event: Event,
  next: State,
  does: Action,
];

export interface Step<State, Action> {
  readonly next: State;
  readonly does: Action;
}

/** Finds rows. A pair that is not listed changes nothing: undefined. */
export class Table<State extends string, Event extends string, Action extends string> {
  private readonly steps = new Map<string, Step<State, Action>>();

  constructor(readonly rows: readonly Row<State, Event, Action>[]) {
    for (const [state, event, next, does] of rows) {
      const pair = `${state} | ${event}`;
      if (this.steps.has(pair)) throw new Error(`two rows for ${pair}`);
      this.steps.set(pair, { next, does });
    }
  }

  step(state: State, event: Event): Step<State, Action> | undefined {
    return this.steps.get(`${state} | ${event}`);
  }
}
