import { expect, test } from "vitest";

import { AppError } from "#shared/errors/app-error.ts";
import { Prng } from "#shared/lib/prng.ts";
import { epochMs } from "#shared/lib/time.ts";
import { breaches } from "#shared/registry/invariants.ts";
import { nodesByUuid } from "#shared/registry/queries/nodes.ts";
import { recovered } from "#shared/registry/recovery.ts";
import { applyEntry, emptyState, type Applied, type LogEntry } from "#shared/registry/reduce.ts";
import { decodeState, encodeState } from "#shared/registry/snapshot.ts";
import type { CommandResult, RegistryState } from "#shared/registry/state.ts";
import { makeCluster, makeMember } from "#test/support/registry-log.ts";

import { randomCommand } from "./registry-commands.ts";
import { factsOf, RegistryOracle, type Expected } from "./registry-oracle.ts";

// Goal: agents that applied the same entries hold equal states and gave equal answers, wherever they took a snapshot; the
// answers are those of seeds 000 and 003, also after recoveries; and a command takes effect once, however its entries are repeated and reordered.
// Method: the production reducers; an oracle written apart; the seed decides everything, so a failure replays.
// SIM_SEEDS=n runs that many seeds, SIM_SEED=k only that one.

const one = process.env["SIM_SEED"];
const many = Number(process.env["SIM_SEEDS"] ?? 300);
const seeds = one === undefined ? Array.from({ length: many }, (_, i) => i + 1) : [Number(one)];
const counts = new Map<string, number>();

function count(what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

/** Result and kind of an answer, for comparison with the oracle's. */
function said(result: CommandResult | null): Expected | null {
  if (result === null) return null;
  return result.ok ? { value: result.value } : { refused: result.refusal.kind };
}

/** The kind of what is thrown; null when nothing is. */
function refusalOf(work: () => void): string | null {
  try {
    work();
    return null;
  } catch (error) {
    if (error instanceof AppError) return error.kind;
    throw error;
  }
}

/** The cfgs as callers read them: byte by byte. */
function cfgs(state: RegistryState): string[] {
  return nodesByUuid(state).map(({ cfg }) => JSON.stringify(cfg));
}

test.each(seeds)("replicas are equal and do what the oracle says (SIM_SEED=%i)", (seed) => {
  const prng = new Prng(seed);
  const oracle = new RegistryOracle();
  let steady = emptyState();
  let restarting = emptyState();
  let joiner: RegistryState | null = null;
  let highestZone = 0;

  for (let step = 1; step <= 200; step += 1) {
    const command = step === 1 && prng.chance(0.9) ? makeCluster() : randomCommand(prng);
    const [origin, at] = [`peer-${1 + prng.below(3)}`, 1000 + 20 * step + prng.below(100)];
    const envelope = {
      v: 1,
      origin,
      session: 1,
      seq: step,
      ack: Math.max(1, step - 5),
      by: "a",
      at,
      command,
    };
    const kind = prng.chance(0.05) ? prng.pick(["noop", "config"] as const) : "command";
    if (steady.cluster !== null && prng.chance(0.008)) {
      const n = prng.chance(0.3) ? 1 + prng.below(5) : 60 + step;
      const member = makeMember(n, { name: `tnt${prng.below(8)}.public.i` });
      const how = {
        member,
        uid: prng.chance(0.5) ? null : 1 + prng.below(5),
        at: epochMs(at),
        incarnation: step,
      };
      const refused = refusalOf(() => {
        steady = recovered(steady, how);
      });
      if (refused === null) restarting = recovered(restarting, how);
      if (refused === null && joiner !== null) joiner = recovered(joiner, how);
      const expected = oracle.recover({ ...member, uid: how.uid });
      expect(refused === null ? { value: {} } : { refused }).toEqual(expected);
      expect(factsOf(steady)).toEqual(oracle.facts());
      count(`recover ${refused ?? "done"}`);
      if (refused === null) oracle.passes(at);
      highestZone = steady.nextZoneId - 1;
    }
    const entry: LogEntry = {
      index: steady.index + 1,
      term: 1,
      kind,
      data: kind === "command" ? JSON.stringify(envelope) : "",
    };

    if (prng.chance(0.05)) restarting = decodeState(encodeState(restarting));
    if (joiner === null && prng.chance(0.02)) joiner = decodeState(encodeState(steady));
    const removed = steady.tombstones.size;
    const applied = applyEntry(steady, entry);
    expect(applyEntry(restarting, entry)).toEqual(applied);
    if (joiner !== null) expect(applyEntry(joiner, entry)).toEqual(applied);

    if (kind === "command") oracle.passes(at);
    const expected = kind === "command" ? oracle.expect(command) : null;
    expect(said(applied.result), JSON.stringify(command)).toEqual(expected);
    expect(factsOf(steady)).toEqual(oracle.facts());
    expect(cfgs(restarting)).toEqual(cfgs(steady));
    expect(breaches(steady)).toEqual([]);
    if (expected !== null) count(`${command.type} ${"refused" in expected ? expected.refused : "done"}`);
    if (command.type === "member.add" && applied.result?.ok === true) {
      if (steady.tombstones.size > removed) count("a place is taken");
      if (command.token !== undefined) count("a token is used");
    }
    if (command.type === "zone.create" && expected !== null && "value" in expected) {
      expect(steady.nextZoneId - 1, "zone ids only grow").toBe(highestZone + 1);
      highestZone += 1;
    }
  }
  expect(encodeState(restarting)).toBe(encodeState(steady));
  if (joiner !== null) expect(encodeState(joiner)).toBe(encodeState(steady));
});

/** A request of a caller, as the agents see it: maybe under a key, maybe sent to several agents in turn. */
interface Request {
  readonly id: number;
  readonly key: string | null;
  answers: CommandResult[];
  effects: number;
}

/** An entry on its way into the log. */
interface Copy {
  readonly request: Request;
  readonly origin: string;
  readonly session: number;
  readonly seq: number;
  readonly ack: number;
}

/** One agent: numbers its commands and acknowledges what it has been answered. */
class Agent {
  readonly origin: string;
  session = 1;
  next = 1;
  readonly open = new Map<number, Request>();

  constructor(origin: string) {
    this.origin = origin;
  }

  send(request: Request): Copy {
    const seq = this.next;
    this.next += 1;
    this.open.set(seq, request);
    return this.copy(seq, request);
  }

  copy(seq: number, request: Request): Copy {
    const ack = Math.min(this.next, ...this.open.keys());
    return { request, origin: this.origin, session: this.session, seq, ack };
  }

  restart(): void {
    this.session += 1;
    this.next = 1;
    this.open.clear();
  }
}

test.each(seeds)("a command takes effect once (SIM_SEED=%i)", (seed) => {
  const prng = new Prng(seed);
  const agents = [new Agent("peer-1"), new Agent("peer-2"), new Agent("peer-3")];
  const requests: Request[] = [];
  const state = emptyState();
  const replica = emptyState();
  let wire: Copy[] = [];
  const numbers = new Set<string>();

  const deliver = (copy: Copy): void => {
    const { request, origin, session, seq, ack } = copy;
    const agent = agents.find((other) => other.origin === origin);
    // Every request asks for the same name; a zone that is made is deleted at once, so a second effect would show.
    const command = { type: "zone.create", name: "the same", request: request.id };
    const key = request.key === null ? {} : { key: request.key };
    const waiting = agent?.session === session && agent.open.get(seq) === request;
    const applied = commit({ v: 1, origin, session, seq, ack, ...key, by: "a", at: 1, command });
    const { result } = applied;
    if (result === null) throw new Error("no result");
    if (!result.ok && result.refusal.kind === "request_expired") {
      count("expired");
      expect(waiting, "a request that its agent still waits for is never expired").toBe(false);
      return;
    }
    const number = `${origin} ${session} ${seq}`;
    if (applied.repeated) count(numbers.has(number) ? "repeated by number" : "repeated by key");
    numbers.add(number);
    if (applied.changes.length > 0) {
      request.effects += 1;
      const id = result.ok ? result.value["id"] : null;
      commit({ ...outsider(state.index), command: { type: "zone.delete", id } });
    }
    request.answers.push(result);
    if (waiting) agent.open.delete(seq);
  };

  function commit(envelope: object): Applied {
    const entry: LogEntry = {
      index: state.index + 1,
      term: 1,
      kind: "command",
      data: JSON.stringify(envelope),
    };
    const applied = applyEntry(state, entry);
    expect(applyEntry(replica, entry)).toEqual(applied);
    return applied;
  }

  for (let step = 0; step < 200; step += 1) {
    const agent = prng.pick(agents);
    if (prng.chance(0.5)) {
      const request = { id: step, key: prng.chance(0.4) ? `key-${step}` : null, answers: [], effects: 0 };
      requests.push(request);
      wire.push(agent.send(request));
    }
    // The agent proposes again what was not answered; a caller turns to another agent with the same key.
    for (const [seq, request] of agent.open) if (prng.chance(0.2)) wire.push(agent.copy(seq, request));
    const keyed = requests.filter(({ key }) => key !== null);
    if (keyed.length > 0 && prng.chance(0.2)) wire.push(prng.pick(agents).send(prng.pick(keyed)));
    if (prng.chance(0.02)) agent.restart();

    const due = prng.shuffle(wire.filter(() => prng.chance(0.3)));
    // Some arrive and stay on the wire: they will come again.
    wire = wire.filter((copy) => !due.includes(copy) || prng.chance(0.2));
    for (const copy of due) if (prng.chance(0.9)) deliver(copy);
  }
  for (const copy of prng.shuffle(wire)) deliver(copy);

  const effects = requests.map((request) => request.effects);
  expect(Math.max(...effects), "no request took effect twice").toBeLessThanOrEqual(1);
  expect(state.nextZoneId - 1, "the state counts no more zones than requests").toBe(sum(effects));
  for (const { answers } of requests)
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBeLessThan(2);
  expect(encodeState(replica)).toBe(encodeState(state));
});

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** An envelope of somebody who is no part of the game. */
function outsider(seq: number): object {
  return { v: 1, origin: "outsider", session: 1, seq: seq + 1, ack: seq + 1, by: "agent", at: 1 };
}

test.skipIf(one !== undefined || many < 100)("the simulation reaches what it is there for", () => {
  const rare = [
    "expired",
    "repeated by key",
    "repeated by number",
    "cluster.create done",
    "cluster.create cluster_exists",
    "member.add done",
    "member.add member_removed",
    "member.add member_name_exists",
    "member.add access_denied",
    "member.add config_error",
    "member.add repair_required",
    "a place is taken",
    "a token is used",
    "member.configure done",
    "member.configure member_has_rack",
    "cluster.configure done",
    "cluster.configure change_refused",
    "user.create done",
    "user.create user_exists",
    "user.update done",
    "user.update user_not_found",
    "user.update change_refused",
    "user.delete done",
    "user.delete change_refused",
    "token.create done",
    "token.create bad_request",
    "token.revoke done",
    "token.revoke token_not_found",
    "recover done",
    "recover config_error",
    "member.remove done",
    "member.remove member_removed",
    "member.remove member_not_found",
    "zone.create done",
    "zone.create zone_exists",
    "zone.rename zone_exists",
    "zone.rename zone_not_found",
    "zone.delete done",
    "zone.delete zone_in_use",
    "zone.delete zone_not_found",
    "zones.set_weights done",
    "zones.set_weights zones_weights_error",
    "node.register done",
    "node.register node_already_registered",
    "node.register node_not_discovered",
    "node.register zone_not_found",
    "node.update done",
    "node.update zone_not_found",
    "node.update node_not_registered",
    "node.unregister done",
    "node.unregister node_not_registered",
  ];
  for (const what of rare) expect(counts.get(what) ?? 0, what).toBeGreaterThan(many / 5);
  const rarest = [
    "cluster.create rack_id_required",
    "member.add rack_id_required",
    "member.add node_config_mismatch",
    "member.add socket_directory_mismatch",
    "member.add insufficient_node_memory",
    "member.add insufficient_node_flash",
    "recover member_removed",
  ];
  for (const what of rarest) expect(counts.get(what) ?? 0, what).toBeGreaterThan(many / 100);
});
