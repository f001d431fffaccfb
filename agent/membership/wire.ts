import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";

import { HOST_ADDRESSES_MAX, MEMBERS_MAX } from "#shared/lib/limits.ts";
import { BucketNumbers, Fingerprint, Fingerprints, SwimMessage } from "#shared/membership/messages.ts";
import { HostFacts } from "#shared/model/hardware.ts";

const Peer = Type.String({ minLength: 1, maxLength: 128 });
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** Body of topic `swim`: a message, and what rides along with probes. Absent keys cost nothing; probes are most of the traffic. */
const SwimFrame = Type.Object({
  message: SwimMessage,
  /** With a ping: fingerprint of the sender's table of report versions. */
  facts: Type.Optional(Fingerprint),
  /**
   * With the answer to a ping: when that came in and when this was sent, by the sender's wall clock in milliseconds since
   * the epoch. From these offsets are measured (RFC 5905, section 8).
   */
  clock: Type.Optional(Type.Tuple([Type.Number(), Type.Number()])),
});
export type SwimFrame = Static<typeof SwimFrame>;
export const swimFrame = Compile(SwimFrame);

/** Order of one host's reports: starts of its agent, then count since. */
export const Version = Type.Tuple([Count, Count]);
export type Version = Static<typeof Version>;

/** Body of topic `facts.compare`: "our tables of versions differ; these are the fingerprints of mine." */
const FactsCompare = Type.Object({ table: Fingerprints });
export const factsCompare = Compile(FactsCompare);

/** Body of topic `facts.digest`: which report of each host the sender has. */
const FactsDigest = Type.Object({
  versions: Type.Record(Peer, Version, { maxProperties: MEMBERS_MAX }),
  /** Parts of the table in which these are all that it has, so that what is missing here is missing there. */
  buckets: BucketNumbers,
});
export type FactsDigest = Static<typeof FactsDigest>;
export const factsDigest = Compile(FactsDigest);

/** Request `facts.pull`. */
const FactsPull = Type.Object({ peers: Type.Array(Peer, { maxItems: MEMBERS_MAX }) });
export const factsPull = Compile(FactsPull);

const Urls = Type.Array(Type.String({ maxLength: 512 }), { maxItems: HOST_ADDRESSES_MAX });

const FactsRecord = Type.Object({
  version: Version,
  report: Type.Object({
    peer: Peer,
    name: Type.String({ minLength: 1, maxLength: 253 }),
    facts: HostFacts,
    apiUrls: Urls,
    meshAddrs: Urls,
  }),
});
export type FactsRecord = Static<typeof FactsRecord>;
/** One host's report with its version. Each is judged by itself, so that one bad one does not cost the others. */
export const factsRecord = Compile(FactsRecord);

/** Answer to `facts.pull`: as many of the wanted records as fit into a batch. */
const FactsBatch = Type.Object({ records: Type.Array(Type.Unknown(), { maxItems: MEMBERS_MAX }) });
export const factsBatch = Compile(FactsBatch);
