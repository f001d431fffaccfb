import { nodesByUuid } from "#shared/registry/queries/nodes.ts";
import type { RegisteredNode, RegistryState } from "#shared/registry/state.ts";

import { ok, toWireNode } from "./translate.ts";

/** Everything around the data of an answer, taken from the envelope itself. */
const [HEAD = "", TAIL = ""] = JSON.stringify(ok("\u0000")).split(JSON.stringify("\u0000"));

/**
 * Up to here a body goes out as a text, which Node sends in one piece with the headers; longer ones as bytes, so that they
 * are not encoded again for every request. Characters.
 */
const TEXT_CHARS_MAX = 16 * 1024;

/**
 * The answer with all registered nodes. It is what monitoring asks for over and over, so it is made once per index; and
 * after a change only the changed nodes are encoded anew, for records are replaced and never mutated.
 */
export class NodeList {
  readonly #encoded = new WeakMap<RegisteredNode, string>();
  #state: Readonly<RegistryState> | null = null;
  #index = -1;
  #body: string | Buffer = "";

  body(state: Readonly<RegistryState>): string | Buffer {
    if (this.#state === state && this.#index === state.index) return this.#body;
    const pairs = nodesByUuid(state).map((node) => this.#pair(node));
    const text = `${HEAD}{${pairs.join(",")}}${TAIL}`;
    this.#body = text.length <= TEXT_CHARS_MAX ? text : Buffer.from(text);
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
