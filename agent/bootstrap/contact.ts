import { request } from "node:https";
import type { IncomingMessage } from "node:http";

import { Type } from "typebox";
import { Value } from "typebox/value";

import { parseNode } from "./node-address.ts";
import type { PeerAddresses } from "#agent/ports/transport.ts";
import { MeshContact } from "#shared/contract/native.ts";
import type { MemberId } from "#shared/lib/ids.ts";
import { CONTACT_BYTES_MAX } from "#shared/lib/limits.ts";

/** Longest an agent may take to say who it is. Milliseconds. */
const CONTACT_MS_MAX = 5000;

/** What a joiner reads of `GET /muster/v1/mesh`. */
const Told = Type.Pick(MeshContact, ["peer_id", "mesh_addrs", "cluster_id"]);

/** An agent answers, but it has no cluster yet; it may be creating one this very moment. */
export class NoClusterYet extends Error {
  override readonly name = "NoClusterYet";
  /** Who answered. */
  readonly peer: MemberId;

  constructor(message: string, peer: MemberId) {
    super(message);
    this.peer = peer;
  }
}

/** Whom to believe. */
interface Trust {
  /** Certificates in PEM: the agent must show one that comes from these. Empty: any will do. */
  readonly trustedCa: string;
}

/** Asks one address who is there. Rejects with an Error whose message is the cause, for connect_error. */
export type Contact = (
  address: string,
  apiPort: number,
  signal: AbortSignal,
  trust?: Trust,
) => Promise<PeerAddresses>;

/**
 * Asks the agent at this API address for its peer id and mesh addresses. Mostly its certificate is its own and proves nothing; nor
 * need it: a liar is found out when it cannot prove on the mesh that it knows the password's verifier.
 *
 * Who joins by certificate has nothing that the cluster could prove to know, and believes what is told here. With a trusted authority it
 * must come from a holder of one of its server certificates; the name in it is not compared, for agents are asked by address and
 * certificates name hosts. Without one the joiner trusts whomever it reaches.
 */
export const contact: Contact = async (address, apiPort, signal, trust = { trustedCa: "" }) => {
  const { host, port } = parseNode(address, apiPort);
  const deadline = AbortSignal.timeout(CONTACT_MS_MAX);
  try {
    const body = await get(host, port, { signal: AbortSignal.any([signal, deadline]), ...trust });
    const told: unknown = JSON.parse(body);
    if (!Value.Check(Told, told)) throw new Error("what answers there is no muster agent");
    if (told.cluster_id === null) throw new NoClusterYet("the agent there is not in a cluster", told.peer_id);
    return { peer: told.peer_id, meshAddrs: told.mesh_addrs };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof NoClusterYet) throw error;
    if (deadline.aborted) throw new Error(`no answer within ${CONTACT_MS_MAX / 1000} s`, { cause: error });
    throw new Error(causeOf(error), { cause: error });
  }
};

function get(
  host: string,
  port: number,
  { signal, trustedCa }: Trust & { readonly signal: AbortSignal },
): Promise<string> {
  const trust =
    trustedCa === ""
      ? { rejectUnauthorized: false }
      : { rejectUnauthorized: true, ca: trustedCa, checkServerIdentity: () => undefined };
  return new Promise((resolve, reject) => {
    const options = {
      host,
      port,
      path: "/muster/v1/mesh",
      headers: { accept: "application/json" },
      ...trust,
      agent: false as const,
      signal,
    };
    const asked = request(options, (response) => {
      read(response).then(resolve, reject);
    });
    asked.on("error", reject);
    asked.end();
  });
}

async function read(response: IncomingMessage): Promise<string> {
  if (response.statusCode !== 200) {
    response.destroy();
    throw new Error(`what answers there is no muster agent (status ${response.statusCode})`);
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > CONTACT_BYTES_MAX)
      throw new Error("what answers there is no muster agent (its answer has no end)");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

const UNTRUSTED = "its certificate does not come from credentials.trusted_ca";

const CAUSES: Readonly<Record<string, string>> = {
  ENOTFOUND: "the name cannot be resolved",
  EAI_AGAIN: "the name cannot be resolved at the moment",
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was cut",
  EHOSTUNREACH: "there is no route to it",
  ENETUNREACH: "there is no route to it",
  ETIMEDOUT: "the connection timed out",
  EPROTO: "what answers there does not speak TLS",
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet",
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
};

function causeOf(error: unknown): string {
  // Several addresses of one name, all tried: the first failure stands for all.
  const one: unknown = error instanceof AggregateError ? (error.errors[0] ?? error) : error;
  if (one instanceof SyntaxError) return "what answers there is no muster agent (its answer is no JSON)";
  if (!(one instanceof Error)) return String(one);
  const code = "code" in one && typeof one.code === "string" ? one.code : "";
  if (code.startsWith("ERR_SSL")) return "what answers there does not speak TLS";
  return CAUSES[code] ?? one.message;
}
