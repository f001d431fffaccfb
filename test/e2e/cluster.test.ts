import { stat } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { AUTH, leaderOf, TestFleet, untilVoters, type AgentProcess } from "#test/support/agents.ts";
import { call } from "#test/support/http.ts";

// Real processes, real libp2p, real disks. One cluster of three, then a fourth agent; tests run in order and build on each other.

let fleet: TestFleet;
let agents: AgentProcess[];
const at = (index: number): AgentProcess => agents[index] as AgentProcess;

beforeAll(async () => {
  fleet = await TestFleet.create();
  agents = await fleet.formed(3);
});

afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

describe("a new cluster of three", () => {
  test("each agent is completed, with a uid of its own and real hardware", async () => {
    const uids: number[] = [];
    for (const agent of agents) {
      const { json } = await agent.get("/v1/bootstrap");
      expect(json.bootstrap_status.state).toBe("completed");
      expect(json.bootstrap_status.start_time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      expect(json.local_node_info.cores).toBeGreaterThan(0);
      expect(json.local_node_info.total_memory).toBeGreaterThan(64 * 1024 * 1024);
      expect(json.local_node_info.available_addrs).toEqual(json.local_node_info.available_addresses);
      uids.push(json.local_node_info.uid);
    }
    expect(uids.toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
  });

  test("credentials are required once there is a cluster", async () => {
    for (const agent of agents) {
      expect((await agent.call("/v1/bootstrap")).status).toBe(401);
      expect((await agent.call("/api/v1/zone")).status).toBe(401);
      expect((await agent.call("/api/v1/zone", { auth: "admin@example.com:wrong" })).status).toBe(401);
      expect((await agent.call("/muster/v1/health/live")).status).toBe(200);
    }
  });

  test("the bootstrap of a member is refused", async () => {
    expect((await at(1).create()).status).toBe(401);
    const again = await at(1).post("/v1/bootstrap/create_cluster", {
      action: "create_cluster",
      cluster: { name: "other" },
      credentials: { username: "a", password: "b" },
    });
    expect(again.status).toBe(409);
  });

  test("a zone written through one agent is read from the others", async () => {
    const written = await at(1).post("/api/v1/zone", { name: "zone 1" });
    expect(written.status).toBe(200);
    expect(written.json).toMatchObject({
      status: true,
      data: { id: 1, name: "zone 1" },
      error: { code: 0, message: "ok" },
    });
    const index = Number(written.headers["x-muster-index"]);
    expect(index).toBeGreaterThan(0);
    for (const agent of agents) {
      const read = await agent.get(`/api/v1/zone/1?min_index=${index}`);
      expect(read.json.data).toEqual([{ id: 1, name: "zone 1" }]);
      expect(Number(read.headers["x-muster-index"])).toBeGreaterThanOrEqual(index);
      expect(read.headers["x-muster-leader"]).toBeTruthy();
      expect(Number(read.headers["x-muster-age-ms"])).toBeGreaterThanOrEqual(0);
    }
    for (const agent of agents) {
      const read = await agent.get("/api/v1/zone?consistency=linearizable");
      expect(read.status).toBe(200);
      expect(read.json.data).toEqual([{ id: 1, name: "zone 1" }]);
    }
  });

  test("the same zone is refused by every agent, and concurrent ones get ids of their own", async () => {
    for (const agent of agents) {
      const refused = await agent.post("/api/v1/zone", { name: "zone 1" });
      expect(refused.status).toBe(409);
      expect(refused.json).toMatchObject({ status: false, error: { message: "zone_exists" } });
    }
    const made = await Promise.all(
      Array.from({ length: 30 }, (_, i) => at(i % 3).post("/api/v1/zone", { name: `parallel ${i}` })),
    );
    expect(made.map(({ status }) => status)).toEqual(made.map(() => 200));
    expect(new Set(made.map(({ json }) => json.data.id)).size).toBe(30);
  });

  test("an idempotency key used twice has one effect and one answer", async () => {
    const headers = { "idempotency-key": "e2e-key-1" };
    const first = await at(0).post("/api/v1/zone", { name: "keyed" }, headers);
    const second = await at(2).post("/api/v1/zone", { name: "keyed" }, headers);
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(second.json.data).toEqual(first.json.data);
    const misused = await at(1).post("/api/v1/zone", { name: "another" }, headers);
    expect(misused.status).toBeGreaterThanOrEqual(400);
  });

  test("each agent counts as one detected node until it is registered", async () => {
    const detected = await at(2).get("/api/v1/registry/nodes/new");
    const mine = (detected.json.data as { uuid: string; hostname: string }[]).find(
      (n) => n.hostname === at(0).name,
    );
    expect(detected.json.data).toHaveLength(3);
    expect(mine).toBeDefined();
    const registered = await at(1).post("/api/v1/registry/node", {
      zone_id: 1,
      uuid: mine?.uuid,
      uri: "host-1:3301",
      user: "user1:pass1",
      repl_user: "repl:pass",
      cfg: { listen: "0.0.0.0:3301" },
    });
    expect(registered.status).toBe(200);
    const index = String(registered.headers["x-muster-index"]);
    const left = await at(0).get(`/api/v1/registry/nodes/new?min_index=${index}`);
    expect(left.json.data).toHaveLength(2);
    const inUse = await at(0).call("/api/v1/zone/1", { method: "DELETE", auth: AUTH });
    expect(inUse.json.error.message).toBe("zone_in_use");
  });

  test("every agent answers for every host's facts", async () => {
    for (const agent of agents) {
      for (const { name } of agents) {
        await agent.until(`has the facts of ${name}`, async () => {
          const { json } = await agent.get(`/muster/v1/hosts/${name}`);
          return (json?.facts?.static?.cpu?.cores ?? 0) > 0;
        });
      }
    }
  });

  test("plain HTTP and the unix socket serve the same; the socket needs no password and is private", async () => {
    const plain = await call(`${at(0).plainUrl}/api/v1/zone/1`, { auth: AUTH });
    expect(plain.json.data[0].name).toBe("zone 1");
    const mode = (await stat(join(at(0).dir, "muster.sock"))).mode & 0o777;
    expect(mode & 0o007).toBe(0);
  });

  test("no secret is in any log", () => {
    for (const agent of agents) expect(agent.output).not.toContain("correct horse battery");
  });
});

describe("joining", () => {
  test("a wrong password ends in access_denied, and the joiner can try again", async () => {
    const joiner = await fleet.add();
    agents.push(joiner);
    await joiner.start();
    expect((await joiner.join([at(0)], { username: "admin@example.com", password: "wrong" })).status).toBe(
      200,
    );
    const failed = await joiner.untilState("error");
    expect(failed.json.bootstrap_status.error_code).toBe("access_denied");

    expect((await joiner.join([at(1)])).status).toBe(200);
    await joiner.untilState("completed");
    const uid = (await joiner.get("/v1/bootstrap")).json.local_node_info.uid;
    expect(uid).toBe(4);
  });

  test("nobody there ends in connect_error, naming what was tried", async () => {
    const lonely = await fleet.add();
    await lonely.start();
    const nobody = await fleet.add();
    expect((await lonely.join([nobody])).status).toBe(200);
    const failed = await lonely.untilState("error");
    expect(failed.json.bootstrap_status.error_code).toBe("connect_error");
    expect(failed.text).toContain(nobody.address);
    await lonely.stop();
  });

  test("the fourth agent stands by without a vote and serves the whole API", async () => {
    const fourth = at(3);
    await untilVoters(agents, 3);
    const members = (await fourth.get("/muster/v1/members")).json.members as { name: string; role: string }[];
    expect(members.find(({ name }) => name === fourth.name)?.role).toBe("standby");
    const written = await fourth.post("/api/v1/zone", { name: "by the fourth" });
    expect(written.status).toBe(200);
    const index = String(written.headers["x-muster-index"]);
    const everywhere = await Promise.all(
      agents.map((agent) => agent.get(`/api/v1/zone/${written.json.data.id}?min_index=${index}`)),
    );
    for (const answer of everywhere) expect(answer.json.data[0].name).toBe("by the fourth");
    const strict = await fourth.get("/api/v1/zone?consistency=linearizable");
    expect(strict.status).toBe(200);
    expect((await fourth.get("/muster/v1/status")).json.registry.role).toBe("learner");
  });
});

describe("stop and start", () => {
  test("SIGTERM ends an agent with exit code 0, and leadership has moved", async () => {
    const leader = await leaderOf(agents);
    expect(await leader.stop("SIGTERM")).toBe(0);
    const rest = agents.filter((agent) => agent !== leader);
    const next = await leaderOf(rest);
    expect(next.name).not.toBe(leader.name);
    expect((await next.post("/api/v1/zone", { name: "while one is away" })).status).toBe(200);
    await leader.start();
    await leader.until("has caught up", async () => {
      const zones = (await leader.get("/api/v1/zone")).json?.data as { name: string }[] | undefined;
      return zones?.some(({ name }) => name === "while one is away") ?? false;
    });
  });

  test("all agents killed at once come back by themselves", async () => {
    const before = (await at(0).get("/api/v1/zone?consistency=linearizable")).json.data;
    await Promise.all(agents.map((agent) => agent.stop("SIGKILL")));
    await Promise.all(agents.map((agent) => agent.start()));
    await leaderOf(agents);
    for (const agent of agents) {
      await agent.until("serves the registry again", async () => {
        const answer = await agent.get("/api/v1/zone?consistency=linearizable");
        return answer.status === 200 && JSON.stringify(answer.json.data) === JSON.stringify(before);
      });
    }
    expect((await at(2).post("/api/v1/zone", { name: "after the power cut" })).status).toBe(200);
  });

  test("without a majority reads go on and writes are refused with 503 and the missing names", async () => {
    const [alive, ...others] = agents as [AgentProcess, ...AgentProcess[]];
    await Promise.all(others.map((agent) => agent.stop("SIGKILL")));
    await alive.until("knows that the majority is gone", async () => {
      const answer = await alive.post("/api/v1/zone", { name: `never ${Date.now()}` });
      return (
        answer.status === 503 && answer.headers["retry-after"] !== undefined && /host-\d/.test(answer.text)
      );
    });
    const read = await alive.get("/api/v1/zone");
    expect(read.status).toBe(200);
    expect(read.json.data.length).toBeGreaterThan(30);
    const strict = await alive.get("/api/v1/zone?consistency=linearizable");
    expect(strict.status).toBe(503);
    await Promise.all(others.map((agent) => agent.start()));
    await alive.until("takes writes again", async () => {
      return (await alive.post("/api/v1/zone", { name: `again ${Date.now()}` })).status === 200;
    });
  });
});
