import type { ErrorKind } from "#shared/errors/kinds.ts";
import type { Command, Envelope, NewMember, PasswordVerifier } from "#shared/registry/command.ts";
import { applyEntry, emptyState, type Applied, type LogEntry } from "#shared/registry/reduce.ts";
import type { CommandResult, RegistryState } from "#shared/registry/state.ts";

export const VERIFIER: PasswordVerifier = {
  kdf: "scrypt",
  n: 1024,
  r: 8,
  p: 1,
  salt: "c2FsdA==",
  stored_key: "c3RvcmVk",
  server_key: "c2VydmVy",
};

/** A host; `n` makes peer, uuid, name and address distinct. */
export function makeMember(n: number, more: Partial<NewMember> = {}): NewMember {
  return {
    peer: `peer-${n}`,
    uuid: `uuid-${n}`,
    name: `tnt${n}.public.i`,
    addr: `10.0.0.${n}`,
    external_addrs: [],
    mesh_addrs: [`10.0.0.${n}:9444`],
    api_urls: [`https://10.0.0.${n}:9443`],
    rack_id: null,
    software_version: "0.1.0",
    ...more,
  };
}

export function makeCluster(member = makeMember(1)): Command {
  return {
    type: "cluster.create",
    cluster_id: "cluster-1",
    name: "test",
    member,
    admin: { name: "admin@example.com", verifier: VERIFIER },
    rack_aware: false,
  };
}

/** One state and the log that leads to it; numbers what it appends as one agent would. */
export class RegistryLog {
  readonly state: RegistryState;
  readonly entries: LogEntry[] = [];
  #seq = 0;

  constructor(state: RegistryState = emptyState()) {
    this.state = state;
  }

  /** Appends and applies a command in an envelope that may be changed at will; `command` may be anything. */
  apply(command: unknown, more: { readonly [K in keyof Envelope]?: unknown } = {}): Applied {
    this.#seq += 1;
    const seq = this.#seq;
    const envelope = {
      v: 1,
      origin: "peer-1",
      session: 1,
      seq,
      ack: seq,
      by: "agent",
      at: seq,
      command,
      ...more,
    };
    return this.append(JSON.stringify(envelope));
  }

  /** Appends and applies raw text. */
  append(data: string, kind: LogEntry["kind"] = "command"): Applied {
    const entry: LogEntry = { index: this.state.index + 1, term: 1, kind, data };
    const applied = applyEntry(this.state, entry);
    if (applied.halted === null) this.entries.push(entry);
    return applied;
  }

  /** Applies a command that must succeed, and answers with its value. */
  must(command: Command): Extract<CommandResult, { ok: true }>["value"] {
    const { result } = this.apply(command);
    if (result?.ok !== true) throw new Error(`${command.type} was refused: ${JSON.stringify(result)}`);
    return result.value;
  }
}

/** The kind of a refusal; null for a success or no result. */
export function kindOf({ result }: Applied): ErrorKind | null {
  return result?.ok === false ? result.refusal.kind : null;
}
