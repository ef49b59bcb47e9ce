/** Where the specification is: the tests read it. */
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The path of a file or folder of the repository. */
export function inRepository(name: string): string {
  let above = path.dirname(fileURLToPath(import.meta.url));
  while (!existsSync(path.join(above, name))) {
    if (above === path.dirname(above)) throw new Error(`${name} is in no folder above this one`);
    above = path.dirname(above);
  }
  return path.join(above, name);
}
