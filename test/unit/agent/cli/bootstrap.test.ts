import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import {
  failureOf,
  outcomeText,
  outlineRecovery,
  outlineText,
  readBootstrap,
  runBootstrap,
  standingText,
  stepText,
} from "#agent/cli/bootstrap.ts";
import type { Target } from "#agent/cli/client.ts";

// An agent as far as this client sees one: it says what the test has put in line, one answer for each request.

interface Asked {
  readonly line: string;
  readonly body: unknown;
  readonly login: string | undefined;
}
type Said = readonly [status: number, body?: object];

let server: Server;
let target: Target;
let asked: Asked[];
let answers: Said[];

beforeEach(async () => {
  asked = [];
  answers = [];
  server = createServer((request, response) => void answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  target = { url: `http://127.0.0.1:${port}`, credentials: null, insecure: false };
});
afterEach(() => server.close());

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = request.method === "POST" ? await json(request) : null;
  asked.push({ line: `${request.method} ${request.url}`, body, login: request.headers.authorization });
  const [status, said] = answers.shift() ?? [500, {}];
  response.writeHead(status).end(said === undefined ? undefined : JSON.stringify(said));
}

const status = (state: string, more: object = {}): Said => [
  200,
  { bootstrap_status: { state, ...more }, local_node_info: { uid: state === "completed" ? 3 : null } },
];
const step = (name: string, state: string) => ({ name, state, start_time: "2026-11-21T19:50:08Z" });

describe("a bootstrap", () => {
  test("is followed to its end, each step told once as it begins and as it ends", async () => {
    const [preflight, contact] = [step("preflight", "done"), step("contact", "running")];
    answers.push(
      [200],
      status("initiated"),
      status("joining_cluster", { steps: [step("preflight", "running")] }),
      status("joining_cluster", { steps: [preflight, contact] }),
      status("joining_cluster", { steps: [preflight, contact] }),
      status("completed", { steps: [preflight, step("contact", "done")] }),
    );
    const told: string[] = [];
    const end = await runBootstrap(target, "join_cluster", { a: 1 }, (news) => told.push(stepText(news)));
    expect(told).toEqual(["preflight …", "preflight done", "contact …", "contact done"]);
    expect([failureOf(end), outcomeText(end)]).toEqual([null, "this host is in the cluster as node 3"]);
    expect(asked[0]).toMatchObject({ line: "POST /v1/bootstrap/join_cluster", body: { a: 1 } });
    // Each look names the state that is known, so that no change between two of them is waited over.
    expect(asked.slice(1).map(({ line }) => line)).toEqual([
      "GET /v1/bootstrap?wait=1s&state=initiated",
      "GET /v1/bootstrap?wait=1s&state=initiated",
      "GET /v1/bootstrap?wait=1s&state=joining_cluster",
      "GET /v1/bootstrap?wait=1s&state=joining_cluster",
      "GET /v1/bootstrap?wait=1s&state=joining_cluster",
    ]);
  });

  test("that ends while it is looked at without a login is looked at once more, for the steps and the uid", async () => {
    const bare: Said = [200, { bootstrap_status: { state: "completed" } }];
    const whole = status("completed", { steps: [step("preflight", "done"), step("contact", "done")] });
    answers.push([200], bare, whole);
    const told: string[] = [];
    const end = await runBootstrap(target, "join_cluster", {}, (news) => told.push(stepText(news)));
    expect(told).toEqual(["preflight done", "contact done"]);
    expect(outcomeText(end)).toBe("this host is in the cluster as node 3");
    expect(asked.at(-1)?.line).toBe("GET /v1/bootstrap");

    // As after a join by token, whose host knows no login.
    for (const refused of [401, 503]) {
      answers.push([200], bare, [refused, { error_code: "unauthenticated" }]);
      const known = await runBootstrap(target, "join_cluster", {}, () => undefined);
      expect(outcomeText(known)).toBe("this host is in the cluster");
    }
  });

  test("that fails says its code and why", async () => {
    const details = { message: "give node.identity.rack_id", current_rack_ids: ["a"] };
    answers.push([200], status("error", { error_code: "rack_id_required", error_details: details }));
    const end = await runBootstrap(target, "join_cluster", {}, () => undefined);
    expect(failureOf(end)).toBe("rack_id_required: give node.identity.rack_id");
    expect(standingText(end)).toBe("error (rack_id_required: give node.identity.rack_id)");
  });

  test("that finds a degraded cluster says with which flag to try again", async () => {
    const details = { message: "the cluster is degraded", failed_nodes: [{ uid: 2 }], replace_candidate: 2 };
    answers.push([200], status("error", { error_code: "repair_required", error_details: details }));
    const end = await runBootstrap(target, "join_cluster", {}, () => undefined);
    expect(failureOf(end)).toBe("repair_required: the cluster is degraded (here: --uid 2)");
  });

  test("that is refused says so in the agent's words", async () => {
    const run = () => runBootstrap(target, "create_cluster", {}, () => undefined);
    answers.push([
      409,
      { error_code: "already_in_cluster", description: "this node is already part of a cluster" },
    ]);
    await expect(run()).rejects.toThrow("already_in_cluster: this node is already part of a cluster");
    answers.push([
      400,
      { error_code: "config_error", error_details: { message: "cluster.name: is required" } },
    ]);
    await expect(run()).rejects.toThrow("config_error: cluster.name: is required");
    answers.push([502]);
    await expect(run()).rejects.toThrow("the agent answered 502");
  });

  test("of a host that asks for credentials afterwards is over, too", async () => {
    answers.push([200], status("joining_cluster"), [401, {}]);
    const end = await runBootstrap(target, "join_cluster", {}, () => undefined);
    expect([end, failureOf(end), outcomeText(end)]).toEqual([
      null,
      null,
      "this host is in a cluster: it asks for credentials now",
    ]);
  });

  test("is shown with its steps, words of a newer version included", async () => {
    const steps = [
      { ...step("preflight", "done"), end_time: "2026-11-21T19:50:09Z" },
      step("dance", "resting"),
    ];
    answers.push(status("waltzing", { steps, something: "new" }));
    expect(standingText(await readBootstrap(target)).split("\n")).toEqual([
      "waltzing",
      "",
      "STEP       STATE    BEGAN                 ENDED",
      "preflight  done     2026-11-21T19:50:08Z  2026-11-21T19:50:09Z",
      "dance      resting  2026-11-21T19:50:08Z  -",
    ]);
    expect(asked.map(({ line }) => line)).toEqual(["GET /v1/bootstrap"]);
    answers.push(status("idle", { reason: "this host left its cluster" }));
    expect(standingText(await readBootstrap(target))).toBe("idle (this host left its cluster)");
    answers.push([200, { state: "idle" }]);
    await expect(readBootstrap(target)).rejects.toThrow(/unknown form/);
  });
});

describe("the outline of a recovery", () => {
  const own = {
    source: "store",
    where: "host-1",
    cluster_id: "cluster-1",
    cluster_name: "my.cluster",
    incarnation: 1,
    term: 4,
    index: 90,
    time: "2026-11-21T19:00:00Z",
    age_ms: 61_000,
  };
  const better = { ...own, source: "agent", where: "10.0.0.2:9443", index: 95, age_ms: null };

  test("lists the copies, the chosen one marked, and everything that may be lost", async () => {
    const outline = {
      candidates: [better, own],
      chosen: better,
      incarnation: 2,
      uid: 1,
      rejoin: [
        { uid: 2, name: "host-2" },
        { uid: 3, name: "host-3" },
      ],
      unreachable: [{ address: "10.0.0.3:9443", cause: "refused" }],
      losses: ["what only host-3 had is lost"],
    };
    answers.push([200, outline]);
    const body = { cluster: { nodes: ["10.0.0.2", "10.0.0.3"] } };
    expect(outlineText(await outlineRecovery(target, body)).split("\n")).toEqual([
      "   COPY   WHERE          INCARNATION  TERM  INDEX  LAST CHANGE           AGE",
      "*  agent  10.0.0.2:9443  1            4     95     2026-11-21T19:00:00Z  -",
      "   store  host-1         1            4     90     2026-11-21T19:00:00Z  61 s",
      "",
      "This host would carry my.cluster on as node 1, incarnation 2. Nothing has been changed.",
      "These would have to join again, each in its own place: host-2 (--uid 2), host-3 (--uid 3)",
      "Not asked: 10.0.0.3:9443: refused",
      "May be lost: what only host-3 had is lost",
    ]);
    expect(asked).toMatchObject([{ line: "POST /v1/bootstrap/validate/recover_cluster", body }]);
  });

  test("a rehearsal that fails says for what", async () => {
    const error_details = { field: "action", message: "action: host-2 answers and has a leader" };
    const bootstrap_status = { state: "error", error_code: "config_error", error_details };
    answers.push([406, { error_code: "config_error", description: "…", error_details, bootstrap_status }]);
    await expect(outlineRecovery(target, {})).rejects.toThrow(
      "config_error: action: host-2 answers and has a leader",
    );
  });
});
