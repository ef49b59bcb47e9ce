/** Command lines of the programs. What cannot be read raises an error that names the option, and what it takes. */
import path from "node:path";

/** The body of a program: what it raises is told in a line on standard error, and makes the exit status 2. */
export async function runProgram(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    console.error(`${path.basename(process.argv[1] ?? "")}: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(2);
  }
}

/** A time: more than 0. */
export function seconds(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value > 0)) throw new Error(`--${option} takes seconds, more than 0; this is "${text}"`);
  return value;
}

/** How many: 1 or more. */
export function count(option: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`--${option} takes a number of 1 or more; this is "${text}"`);
  return Number(text);
}

/** true or false. */
export function truth(option: string, text: string): boolean {
  if (text !== "true" && text !== "false") throw new Error(`--${option} takes true or false; this is "${text}"`);
  return text === "true";
}
