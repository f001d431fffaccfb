import type { FastifyRequest } from "fastify";

import { parseBasic } from "#agent/api/auth/basic.ts";
import type { Verifier } from "#agent/api/auth/verifier.ts";
import { callerOf, isLocal, isWithin, type Network, sourceOf, toBlock } from "#agent/api/callers.ts";
import type { Principal, Queries } from "#agent/api/ports.ts";
import { isMember } from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { Topic } from "#shared/registry/command.ts";
import { nameOf } from "#shared/registry/queries/members.ts";

/**
 * What a route declares about who may call it and when, as data; one hook enforces it and no handler checks readiness.
 * A route without a gate is a defect and stops the server from starting.
 */
export interface Gate {
  /**
   * `any`: served always. `member`: only once this agent is in a cluster, else 503.
   */
  readonly before: "any" | "member";
  /**
   * `open`: no credentials, ever. `once_member`: no credentials before this agent is in a cluster (a header that is sent all the
   * same is ignored), valid ones afterwards. `read`: any user. `write`: a user with the role admin. Before there is a
   * cluster there are no users: `read` and `write` then admit callers on this host only.
   */
  readonly auth: "open" | "once_member" | "read" | "write";
  /** `quorum`: a write; refused at once with 503 when this agent knows that it cannot succeed. */
  readonly needs: "quorum" | "nothing";
  /**
   * `bootstrap`: before this agent is in a cluster, only callers on this host and those in bootstrap.allow_from; afterwards, as a member
   * can be told to recover its cluster, only administrators.
   */
  readonly callers?: "bootstrap";
  /**
   * With `bootstrap.open_status` a caller on this host that sends no credentials is let in as nobody, once this agent is in a cluster,
   * too: the handler then tells the bare state and nothing else.
   */
  readonly bare?: true;
}

/** Reads of the registry: any user, answered from this agent's own copy, with a majority or without. */
export const READS_REGISTRY: Gate = { before: "member", auth: "read", needs: "nothing" };

/** Changes of the registry, through the log: an administrator, and a majority of the voters. */
export const CHANGES_REGISTRY: Gate = { before: "member", auth: "write", needs: "quorum" };

/**
 * What of the registry a route's answer is made of, as data beside its gate: a blocking read waits for the next change of
 * that, and the index of its last change is the answer's ETag.
 */
export type Shown =
  | {
      /** All records of these topics. */
      readonly topics: readonly [Topic, ...Topic[]];
      /**
       * The answer also tells what the registry does not version: liveness, hardware, who leads. It has no ETag then, and a
       * blocking read waits for the registry's part alone.
       */
      readonly partly?: true;
    }
  /** One record, whose id is this path parameter. */
  | { readonly record: { readonly topic: Topic; readonly param: string } };

declare module "fastify" {
  interface FastifyContextConfig {
    gate?: Gate;
    shows?: Shown;
    /** Name of the dialect, for error bodies: set by the plugin that registers the route. */
    dialect?: "redis" | "orchestrator" | "ganeti" | "cinder" | "senlin" | "native";
  }
}

/** Callers on the unix socket: the file's permissions (0660) have let them in, so they are administrators. */
const LOCAL_ADMIN: Principal = { name: "local", role: "admin" };
/** Callers on a loopback address before there are any users. */
const LOCAL_VIEWER: Principal = { name: "local", role: "viewer" };

/** Enforces gates. Everything it refuses, it refuses before a body is read. */
export class GateKeeper {
  readonly #queries: Queries;
  readonly #verifier: Verifier;
  readonly #bootstrapCallers: ReadonlyArray<ReturnType<typeof toBlock>>;
  readonly #openStatus: boolean;

  constructor(
    deps: { readonly queries: Queries; readonly verifier: Verifier },
    options: { readonly bootstrapAllowFrom: readonly Network[]; readonly bootstrapOpenStatus?: boolean },
  ) {
    this.#queries = deps.queries;
    this.#verifier = deps.verifier;
    this.#bootstrapCallers = options.bootstrapAllowFrom.map(toBlock);
    this.#openStatus = options.bootstrapOpenStatus ?? false;
  }

  /**
   * Lets a request through and says in `request.principal` who it is; throws or rejects with the AppError that tells why
   * not. Answers at once (no promise) where no password has to be hashed.
   */
  admit(request: FastifyRequest, gate: Gate): void | Promise<void> {
    const member = isMember(this.#queries.bootstrap.state);
    refuseForeignPages(request);
    if (gate.before === "member" && !member) throw new AppError("not_in_cluster", {});
    const who = this.#identify(request, gate, member);
    if (who instanceof Promise) {
      return who.then((principal) => this.#enter(request, gate, principal));
    }
    this.#enter(request, gate, who);
  }

  #identify(request: FastifyRequest, gate: Gate, member: boolean): Principal | null | Promise<Principal> {
    const caller = callerOf(request);
    if (caller.kind === "unix") return LOCAL_ADMIN;
    if (gate.callers === "bootstrap" && !member) {
      if (isLocal(caller) || isWithin(caller, this.#bootstrapCallers)) return null;
      throw new AppError(
        "forbidden",
        { needs: "start a bootstrap from elsewhere" },
        "before there is a cluster, a bootstrap is started on this host itself or from an address in bootstrap.allow_from",
      );
    }
    if (gate.auth === "open" || (gate.auth === "once_member" && !member)) return null;
    if (!member) {
      if (isLocal(caller)) return LOCAL_VIEWER;
      throw new AppError(
        "forbidden",
        { needs: "look at a host outside a cluster" },
        "before there is a cluster, this is told to callers on this host itself only",
      );
    }
    if (gate.bare === true && this.#openStatus && isLocal(caller) && !("authorization" in request.headers))
      return null;
    return this.#login(request, sourceOf(caller));
  }

  #login(request: FastifyRequest, source: string): Principal | Promise<Principal> {
    const header = request.headers.authorization;
    const credentials = header === undefined ? null : parseBasic(header);
    if (credentials === null) throw new AppError("unauthenticated", {});
    // After a restart the users are known once the log has been read; "wrong password" would be a lie until then.
    if (this.#queries.registry.cluster === null) throw this.#quorumLost();
    return this.#verifier.check(credentials, source);
  }

  #enter(request: FastifyRequest, gate: Gate, principal: Principal | null): void {
    const adminsOnly = gate.auth === "write" || (gate.callers === "bootstrap" && principal !== null);
    if (adminsOnly && principal?.role !== "admin") throw new AppError("forbidden", { needs: "write" });
    const { quorum, quarantined, halted, diskFull } = this.#queries.status();
    // Damaged facts are no answer, not even as old ones.
    if (gate.before === "member" && quarantined) throw this.#quorumLost(halted ?? undefined);
    if (gate.needs === "quorum" && diskFull !== undefined) throw new AppError("disk_full", diskFull);
    if (gate.needs === "quorum" && !quorum) throw this.#quorumLost(halted ?? undefined);
    request.principal = principal;
  }

  #quorumLost(why?: string): AppError {
    const { leader, missing } = this.#queries.status();
    const facts = { leader, missing: missing.map((peer) => nameOf(this.#queries.registry, peer)) };
    return new AppError("quorum_lost", facts, why);
  }
}

/**
 * Refuses changes that a browser makes on behalf of another site (it sends along what the user typed before, and
 * on this host needs nothing at all). Scripts send no such header. W3C, Fetch Metadata Request Headers.
 */
function refuseForeignPages(request: FastifyRequest): void {
  const site = request.headers["sec-fetch-site"];
  if (site === undefined || site === "same-origin" || site === "none") return;
  if (request.method === "GET" || request.method === "HEAD") return;
  throw new AppError("forbidden", { needs: "write" }, "pages of other sites may not change anything here");
}
