import { nodesByUuid } from "#shared/registry/queries/nodes.ts";
import type { RegisteredNode, RegistryState } from "#shared/registry/state.ts";

import { ok, toWireNode } from "./translate.ts";

/** Everything around the data of an answer, taken from the envelope itself. */
const [HEAD = "", TAIL = ""] = JSON.stringify(ok("\u0000")).split(JSON.stringify("\u0000"));

/**
 * The answer with all registered nodes, as bytes. It is what monitoring asks for over and over, so it is made once per index; and
 * after a change only the changed nodes are encoded anew, for records are replaced and never mutated.
 */
export class NodeList {
  readonly #encoded = new WeakMap<RegisteredNode, string>();
  #state: Readonly<RegistryState> | null = null;
  #index = -1;
  #body: Buffer = Buffer.alloc(0);

  body(state: Readonly<RegistryState>): Buffer {
    if (this.#state === state && this.#index === state.index) return this.#body;
    const pairs = nodesByUuid(state).map((node) => this.#pair(node));
    this.#body = Buffer.from(`${HEAD}{${pairs.join(",")}}${TAIL}`);
    this.#state = state;
    this.#index = state.index;
    return this.#body;
  }

  #pair(node: RegisteredNode): string {
    const known = this.#encoded.get(node);
    if (known !== undefined) return known;
    const pair = `${JSON.stringify(node.uuid)}:${JSON.stringify(toWireNode(node))}`;
    this.#encoded.set(node, pair);
    return pair;
  }
}
