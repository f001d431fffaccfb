import type { Bootstrap, Validation } from "#agent/ports/bootstrap.ts";
import type { Clock } from "#agent/ports/clock.ts";
import type { Inventory } from "#agent/ports/inventory.ts";
import type { Log } from "#agent/ports/log.ts";
import type { Membership } from "#agent/ports/membership.ts";
import type { Registry, Submitted } from "#agent/ports/registry.ts";
import type { BootstrapAction } from "#shared/bootstrap/machine.ts";
import type { BootstrapRequest } from "#shared/bootstrap/config.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import type { EpochMs } from "#shared/lib/time.ts";
import type { Command, Expectation, PasswordVerifier } from "#shared/registry/command.ts";
import type { CommandResult, RegistryState } from "#shared/registry/state.ts";

/** Who is asking, as the gate found out. */
export interface Principal {
  readonly name: string;
  readonly role: "admin" | "viewer";
}

/** What the If-Match of a write is about: one record; with an empty id the whole topic. */
export type Target = Pick<Expectation, "topic" | "id">;

/** Options that every write takes from its request: see Registry.submit. */
export interface WriteContext {
  readonly by: Principal;
  /** The caller's Idempotency-Key header. */
  readonly key?: string;
  /** What the caller's If-Match says of the record that it changes. */
  readonly expect?: Expectation;
  readonly signal?: AbortSignal;
}

/** All that a dialect may change. */
export interface Commands {
  /**
   * Commits one command and answers with what the reducer said, once it is applied on this agent. A refusal is THROWN here as
   * AppError, so that a route is: read, call, translate.
   */
  submit(
    command: Command,
    context: WriteContext,
  ): Promise<Submitted & { readonly result: Extract<CommandResult, { ok: true }> }>;
  startBootstrap(action: BootstrapAction, request: BootstrapRequest): Promise<void>;
  /** The rehearsal: see Bootstrap.validate. */
  validateBootstrap(
    action: BootstrapAction,
    request: BootstrapRequest,
    signal: AbortSignal,
  ): Promise<Validation>;
  /** How a password is kept; it costs a slow hash. Rejects with overloaded when too many wait. */
  verifierOf(password: string): Promise<PasswordVerifier>;
  /** Makes a join token, whose text is told this once. Rejects as `submit` does. */
  createToken(
    wish: { readonly ttlMs: number; readonly note: string },
    context: WriteContext,
  ): Promise<{ readonly id: string; readonly token: string; readonly expiresAt: EpochMs }>;
  /** Hands leadership over and answers who leads now: see Voting.lead. */
  lead(to: MemberId | null): Promise<MemberId>;
  /** Takes this host out of its cluster: see Departure.leave. */
  leave(context: WriteContext): Promise<void>;
  /** Takes a member out for good: see Departure.remove. */
  removeMember(peer: MemberId, context: WriteContext & { readonly force: boolean }): Promise<void>;
}

/** This agent, as far as the API tells it. */
export interface AgentInfo {
  readonly peer: MemberId;
  readonly uuid: string;
  readonly name: string;
  readonly softwareVersion: string;
  readonly apiUrls: readonly string[];
  readonly meshAddrs: readonly string[];
}

/** All that a dialect may ask. Everything is answered from this agent's own copy, without waiting. */
export interface Queries {
  readonly registry: Readonly<RegistryState>;
  readonly bootstrap: Pick<Bootstrap, "state" | "uid" | "steps" | "onChange">;
  readonly inventory: Inventory;
  readonly membership: Membership;
  readonly agent: AgentInfo;
  status(): ReturnType<Registry["status"]>;
}

/** What the API is built of; given by the composition root. */
export interface ApiDeps {
  readonly commands: Commands;
  readonly queries: Queries;
  readonly registry: Registry;
  readonly bootstrap: Bootstrap;
  readonly clock: Clock;
  readonly log: Log;
}
