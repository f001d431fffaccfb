/** One address of this host, parsed by whoever can: `text` is the canonical form, so that equal addresses have equal text. */
export interface Candidate {
  readonly text: string;
  readonly family: "ipv4" | "ipv6";
  readonly loopback: boolean;
  readonly private: boolean;
  /** On a bridge such as docker0, whose addresses are alike on many hosts. */
  readonly bridge: boolean;
}

/** What is known when a host chooses its internal address. */
export interface AddressChoice {
  /** What the request asks for (`node.identity.addr`), in canonical form. */
  readonly requested: string | null;
  /** The only family that will do; null: both do. */
  readonly family?: Candidate["family"] | null;
  /** The host's addresses, in the order of its interfaces. */
  readonly host: readonly Candidate[];
  /** Those on which its mesh listens, wildcards resolved; also loopback ones, which `host` leaves out. */
  readonly mesh: readonly Candidate[];
}

export type ChosenAddress =
  | { readonly ok: true; readonly address: string }
  /** `allowed`: what would be right. */
  | { readonly ok: false; readonly allowed: readonly string[] };

/**
 * The address by which other hosts know this one. A requested one must be this host's. Else the best of those where the
 * mesh listens: not on a bridge, private before public (it is the internal address; the others are external ones),
 * IPv4 before IPv6, loopback last; among equals the first interface.
 */
export function chooseAddress({ requested, family = null, host, mesh }: AddressChoice): ChosenAddress {
  const known = merge(host, mesh).filter((one) => family === null || one.family === family);
  if (requested !== null) {
    const found = known.some(({ text }) => text === requested);
    return found ? { ok: true, address: requested } : { ok: false, allowed: known.map(({ text }) => text) };
  }
  const reachable = known.filter(({ text }) => mesh.some((one) => one.text === text));
  const [best] = (reachable.length > 0 ? reachable : known).toSorted((a, b) => rank(a) - rank(b));
  return best === undefined ? { ok: false, allowed: [] } : { ok: true, address: best.text };
}

/** The host's list knows more of an address (bridge or not) than the mesh does. */
function merge(host: readonly Candidate[], mesh: readonly Candidate[]): readonly Candidate[] {
  const known = new Map<string, Candidate>();
  for (const one of [...host, ...mesh]) {
    if (!known.has(one.text)) known.set(one.text, one);
  }
  return [...known.values()];
}

/** Lower is better; the sort keeps the order of equals. */
function rank({ loopback, bridge, private: inner, family }: Candidate): number {
  return (loopback ? 8 : 0) + (bridge ? 4 : 0) + (inner ? 0 : 2) + (family === "ipv4" ? 0 : 1);
}
