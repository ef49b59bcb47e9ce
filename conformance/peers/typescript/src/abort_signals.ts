/** Which tasks an AbortSignal cancels. */

interface Listener {
  readonly cancels: Set<() => void>;
  readonly listener: () => void;
}

/** One listener on each signal, however many tasks it is for: Node.js takes more than ten for a leak, and warns. */
export class AbortSignals {
  private readonly listeners = new Map<AbortSignal, Listener>();

  /** Calls `cancel` if the signal aborts before what is returned is called. */
  listen(signal: AbortSignal, cancel: () => void): () => void {
    const { cancels, listener } = this.listeners.get(signal) ?? this.begin(signal);
    cancels.add(cancel);
    return () => {
      cancels.delete(cancel);
      if (cancels.size > 0 || this.listeners.get(signal)?.cancels !== cancels) return;
      signal.removeEventListener("abort", listener);
      this.listeners.delete(signal);
    };
  }

  private begin(signal: AbortSignal): Listener {
    const cancels = new Set<() => void>();
    const begun = { cancels, listener: (): void => [...cancels].forEach((cancel) => cancel()) };
    signal.addEventListener("abort", begun.listener);
    this.listeners.set(signal, begun);
    return begun;
  }
}
