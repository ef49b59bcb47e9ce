/**
 * Ends a process with everything that it has started (W2.2: "all of it").
 *
 * A process may have started others in sessions of their own, which no signal to a group reaches and whose parent may
 * be gone. What they cannot lose by accident is the environment that they have inherited: it has a mark in it. This
 * reads /proc, so on systems other than Linux only the process itself is ended.
 */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

/** The environment variable with the mark. */
export const MARK = "RESCIND_TASK_PROCESS";

const POLL_MS = 2;

/** Ends all processes with this mark, and returns when none is left. */
export async function endMarked(mark: string): Promise<void> {
  const ending = new Set<number>();
  for (;;) {
    for (const pid of killMarked(mark)) ending.add(pid);
    for (const pid of ending) if (!isAlive(pid)) ending.delete(pid);
    if (ending.size === 0 && killMarked(mark).length === 0) return;
    await wait(POLL_MS); // They are not our children: nobody tells us when they have ended.
  }
}

/** Kills all processes with this mark, and returns which there were. */
export function killMarked(mark: string): number[] {
  const killed: number[] = [];
  const entry = `${MARK}=${mark}`;
  for (const pid of processes()) {
    if (!environment(pid).includes(entry)) continue;
    killed.push(pid);
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  }
  return killed;
}

function processes(): number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return []; // not Linux
  }
}

function environment(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf-8").split("\0");
  } catch {
    return []; // It has ended, or is another user's.
  }
}

/** Whether a process may have anything open: of one that is dying the environment is gone before its files are. */
export function isAlive(pid: number): boolean {
  try {
    // A zombie has nothing, but threads of its may still be dying.
    return (
      !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf-8")) ||
      readdirSync(`/proc/${pid}/task`).length > 1
    );
  } catch {
    return false;
  }
}
