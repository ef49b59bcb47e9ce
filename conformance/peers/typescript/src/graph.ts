/** Graphs of calls, as a user writes them down. */

/** The result of another node of the same graph, as an argument. */
export class NodeReference {
  constructor(readonly name: string) {}
}

/** Names another node of the same graph, whose result is to be the argument. */
export function node(name: string): NodeReference {
  return new NodeReference(name);
}

/** A call of one of the worker's functions. */
export interface Call {
  readonly function: string;
  readonly arguments: readonly unknown[];
}

export type Graph = Readonly<Record<string, Call>>;

/** Throws what a scheduler could only refuse without saying why (C13.4). */
export function checkGraph(graph: Graph, targets: readonly string[]): void {
  for (const target of targets) {
    if (!Object.hasOwn(graph, target)) throw new RangeError(`the target "${target}" is no node of the graph`);
  }
  const checked = new Set<string>();
  const open = new Set<string>();
  // Depth-first, with a stack of its own: a chain may be longer than the stack of calls.
  for (const root of Object.keys(graph)) {
    const stack = [{ name: root, left: checked.has(root) ? [] : dependencies(graph, root) }];
    open.add(root);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.left.pop();
      if (next === undefined) {
        stack.pop();
        open.delete(top.name);
        checked.add(top.name);
      } else if (open.has(next)) {
        throw new RangeError(`the graph has a cycle through "${next}"`);
      } else if (!checked.has(next)) {
        open.add(next);
        stack.push({ name: next, left: dependencies(graph, next) });
      }
    }
  }
}

function dependencies(graph: Graph, name: string): string[] {
  const call = graph[name];
  if (call === undefined) throw new RangeError(`an argument names "${name}", which is no node of the graph`);
  return call.arguments.filter((argument) => argument instanceof NodeReference).map((argument) => argument.name);
}
