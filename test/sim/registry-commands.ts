import type { Prng } from "#shared/lib/prng.ts";
import type { Command, NewMember } from "#shared/registry/command.ts";
import { makeCluster, makeMember, VERIFIER } from "#test/support/registry-log.ts";

/** Any command, out of pools so small that names meet, zones fill, and refusals are as frequent as successes. */
export function randomCommand(prng: Prng): Command {
  const n = (): number => 1 + prng.below(5);
  const zone = (): number => prng.below(7);
  const name = `zone ${n()}`;
  const uuid = `uuid-${n()}`;
  const peer = `peer-${n()}`;
  // Mostly a host's own name and uuid; at times another's, as on a copied disk.
  const own = n();
  const facts = randomFacts(prng);
  const member = prng.chance(0.8)
    ? makeMember(own, facts)
    : makeMember(own, { ...facts, uuid, name: `tnt${n()}.public.i` });
  // Places are taken by hosts that were never there before: what is left of them is a peer id that never comes back.
  const fresh = { ...member, peer: `peer-${prng.below(500)}` };
  const want = { want_uid: 1 + prng.below(6), override_rack_id: prng.chance(0.3) };
  const id = `token ${n()}`;
  const account = `user ${prng.below(3)}`;
  const role = prng.pick(["admin", "viewer"] as const);
  const command: () => Command = prng.pick<() => Command>([
    () => ({ ...makeCluster(member), rack_aware: prng.chance(0.3) }) as Command,
    () => ({ type: "member.add", member }),
    () => ({ type: "member.add", member }),
    () => ({ type: "member.add", member, token: id }),
    () => ({ type: "member.add", member: fresh, ...want }),
    () => ({ type: "member.add", member: fresh, ...want }),
    () => ({ type: "member.add", member: fresh, ...want, token: id }),
    () => ({
      type: "member.configure",
      peer,
      ...(prng.chance(0.5) ? { rack_id: rack(prng) } : { max_listeners: n() }),
    }),
    () => ({ type: "member.update", peer, memory_bytes: 3200 + n(), flash_bytes: 3200 + n() }),
    () => ({ type: "token.create", id, keys: KEYS, ttl_ms: 1000, created_by: account, note: "" }),
    () => (prng.chance(0.3) ? { type: "token.revoke", id } : { type: "member.activate", peer }),
    () => ({ type: "user.create", name: account, role, verifier: VERIFIER }),
    () => ({ type: "user.update", name: prng.chance(0.3) ? "admin@example.com" : account, role }),
    () => ({ type: "user.update", name: account, display_name: `${n()}` }),
    () => ({ type: "user.delete", name: prng.chance(0.3) ? "admin@example.com" : account }),
    () => randomSettings(prng),
    () => ({ type: "member.activate", peer }),
    () => ({ type: "member.update", peer, software_version: String(n()) }),
    () => (prng.chance(0.3) ? { type: "member.remove", peer } : { type: "member.activate", peer }),
    () => ({ type: "member.set_failed", peer, failed: prng.chance(0.8) }),
    () => ({ type: "member.set_failed", peer, failed: true }),
    () => ({ type: "cluster.configure", candidate_pool_size: n() }),
    () => ({ type: "zone.create", name }),
    () => ({ type: "zone.create", name }),
    () => ({ type: "zone.rename", id: zone(), name }),
    () => ({ type: "zone.delete", id: zone() }),
    () => ({ type: "zone.delete", id: zone() }),
    () => ({ type: "zones.set_weights", weights: randomWeights(prng) }),
    () => ({ type: "node.register", uuid, zone_id: zone(), uri: `u:${n()}`, cfg: { [`b${n()}`]: 1, a: -0 } }),
    () => ({ type: "node.register", uuid, zone_id: zone(), uri: `u:${n()}`, cfg: {} }),
    () => ({ type: "node.register", uuid, zone_id: zone(), uri: `u:${n()}`, cfg: {} }),
    () => ({ type: "node.update", uuid, zone_id: zone(), uri: `u:${n()}` }),
    () => ({ type: "node.update", uuid, uri: `u:${n()}` }),
    () => ({ type: "node.unregister", uuid }),
  ]);
  return command();
}

const KEYS = { stored_key: "c3Q=", server_key: "c2s=" };

const rack = (prng: Prng): string => prng.pick(["a", "A", "b", "B", "c"]);

/** Mostly nothing but a rack, so that most hosts fit. */
function randomFacts(prng: Prng): Partial<NewMember> {
  return {
    ...(prng.chance(0.5) ? { rack_id: rack(prng) } : {}),
    ...(prng.chance(0.6) ? { memory_bytes: 3000 + prng.below(300) } : {}),
    ...(prng.chance(0.6) ? { flash_bytes: 3000 + prng.below(300) } : {}),
    ...(prng.chance(0.1) ? { use_internal_ipv6: prng.chance(0.5) } : {}),
    ...(prng.chance(0.1) ? { socket_directory: `/run/${prng.below(3)}` } : {}),
  };
}

function randomSettings(prng: Prng): Command {
  const type = "cluster.configure";
  return prng.pick<() => Command>([
    () => ({ type, repair_policy: prng.pick(["replace", "open"] as const) }),
    () => ({ type, rack_aware: prng.chance(0.7) }),
    () => ({ type, policy: { default_shards_placement: prng.pick(["dense", "sparse"] as const) } }),
    () => ({ type, license: `${prng.below(3)}`, trusted_ca: `${prng.below(3)}` }),
    () => ({ type, dns_suffixes: [{ name: `${prng.below(3)}.example` }] }),
  ])();
}

function randomWeights(prng: Prng): Record<string, Record<string, number>> {
  const ids = ["1", "2", "3", "4"].filter(() => prng.chance(0.5));
  const row = (): Record<string, number> =>
    Object.fromEntries(ids.filter(() => prng.chance(0.4)).map((id) => [id, prng.below(3)]));
  return Object.fromEntries(ids.map((id) => [id, row()]));
}
