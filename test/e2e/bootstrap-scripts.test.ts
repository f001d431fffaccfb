import { networkInterfaces } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { AgentProcess, TestFleet } from "#test/support/agents.ts";
import { call } from "#test/support/http.ts";

import { curl, httpCode, jq, poll } from "./shell.ts";

// What is run in public against Redis Enterprise nodes, told again in our own words: each script's calls in its order, with its own
// way to ask, to read the answer and to wait. Only their pauses are shorter. The agents listen where such nodes do, on port 9443.

const USER = "admin@my.cluster";
const PASSWORD = "123456";
const LOGIN = `${USER}:${PASSWORD}`;

let fleet: TestFleet;
let net = "";

beforeEach(async () => {
  fleet = await TestFleet.create();
  const any = (): number => 2 + Math.floor(Math.random() * 250);
  net = `127.${any()}.${any()}`;
});

afterEach(async () => {
  await fleet[Symbol.asyncDispose]();
});

/** A machine with the agent installed, not yet started. */
function machine(env: Record<string, string> = {}): AgentProcess {
  const number = fleet.agents.length + 1;
  const agent = new AgentProcess({
    name: `node-${number}`,
    address: `${net}.${number}`,
    dir: join(fleet.root, `node-${number}`),
    apiPort: 9443,
    // Plain HTTP is one above the API.
    meshPort: 9445,
    env,
  });
  fleet.agents.push(agent);
  return agent;
}

async function machines(count: number, env: Record<string, string> = {}): Promise<AgentProcess[]> {
  const agents = Array.from({ length: count }, () => machine(env));
  await Promise.all(agents.map((agent) => agent.start()));
  return agents;
}

const credentials = { username: USER, password: PASSWORD };
const post = (body: object): string[] => [
  "-X",
  "POST",
  "-H",
  "Content-Type: application/json",
  "-d",
  JSON.stringify(body),
];
const names = (agents: readonly AgentProcess[]): string[] => agents.map(({ address }) => address);

/** Names of the members, by an administrator's own look. */
async function membersAt(agent: AgentProcess): Promise<string[]> {
  const { json } = await call(`${agent.url}/muster/v1/members`, { auth: LOGIN });
  return (json.members as { name: string }[]).map(({ name }) => name).toSorted();
}

describe("an install script of Terraform: one create, joiners that try again", () => {
  /** Never sends credentials to look, and knows two words: completed, error. */
  const untilOver = (agent: AgentProcess): Promise<string> =>
    poll(`${agent.name} is through`, async () => {
      const { out } = await curl(`${agent.url}/v1/bootstrap`);
      const state = jq(out, "bootstrap_status.state");
      return state === "completed" || state === "error" ? state : undefined;
    });

  test("three nodes in three racks; it polls without credentials, even afterwards", async () => {
    const [first, ...others] = (await machines(3, { MUSTER_BOOTSTRAP_OPEN_STATUS: "local" })) as [
      AgentProcess,
      AgentProcess,
      AgentProcess,
    ];
    const node = (agent: AgentProcess, rack: string): object => ({
      paths: { persistent_path: join(agent.dir, "persist"), ephemeral_path: join(agent.dir, "tmp") },
      identity: { addr: agent.address, external_addr: [agent.address], rack_id: rack },
    });
    let tries = 0;
    /** It posts again after an error, twenty times at most. */
    const joins = async (agent: AgentProcess, rack: string): Promise<string> => {
      for (let i = 0; i < 20; i += 1) {
        tries += 1;
        const body = {
          action: "join_cluster",
          cluster: { nodes: [first.address] },
          node: node(agent, rack),
          credentials,
        };
        expect(await httpCode(...post(body), `${agent.url}/v1/bootstrap/join_cluster`)).toBe("200");
        if ((await untilOver(agent)) === "completed") return "completed";
      }
      return "error";
    };
    // A joiner does not wait for the first node: its first try meets an agent without a cluster.
    const early = joins(others[0], "rack-2");
    early.catch(() => undefined); // Looked at below.
    await poll("the early joiner was told that there is no cluster", async () => {
      const { out } = await curl(`${others[0].url}/v1/bootstrap`);
      return jq(out, "bootstrap_status.error_code") === "connect_error" || tries > 1 ? true : undefined;
    });
    const body = {
      action: "create_cluster",
      cluster: { nodes: [], name: "tf.example.com", rack_aware: true },
      node: node(first, "rack-1"),
      policy: { rack_aware: true },
      credentials,
    };
    const created = await curl(...post(body), `${first.url}/v1/bootstrap/create_cluster`);
    expect(created).toEqual({ code: 0, out: "" });
    expect(await untilOver(first)).toBe("completed");
    expect(await Promise.all([early, joins(others[1], "rack-3")])).toEqual(["completed", "completed"]);
    expect(tries).toBeGreaterThan(2);

    // From outside a cluster is ready as soon as it wants a login.
    expect(await httpCode(`${first.url}/v1/cluster`)).toBe("401");
    // What is open on the host itself is the word alone.
    const open = JSON.parse((await curl(`${first.url}/v1/bootstrap`)).out) as object;
    expect(open).toEqual({ bootstrap_status: { state: "completed" } });
    // The license comes last; what it looks for is a word in the answer.
    const license = "----- LICENSE START -----\nZmlyc3QgbGluZQ==\n----- LICENSE END -----\n";
    const put = ["-X", "PUT", "-H", "Content-Type: application/json", "-d", JSON.stringify({ license })];
    const { out } = await curl("-u", LOGIN, ...put, `${first.url}/v1/license`);
    expect(out).toContain('"shards_limit"');
  });
});

describe("a pair of Terraform modules for two clouds", () => {
  test("waits for idle without credentials, creates with all it can say, polls with credentials", async () => {
    const agents = [machine(), machine()] as [AgentProcess, AgentProcess];
    const [first, second] = agents;
    // The script runs while the machine still boots, and takes what is no JSON for "not yet".
    const idle = (agent: AgentProcess): Promise<true> =>
      poll(`${agent.name} is idle`, async () => {
        const { out } = await curl(`${agent.url}/v1/bootstrap`);
        return jq(out, "bootstrap_status.state") === "idle" ? true : undefined;
      });
    const ready = Promise.all(agents.map(idle));
    await Promise.all(agents.map((agent) => agent.start()));
    await ready;

    const body = (agent: AgentProcess, action: object, zone: string): object => ({
      ...action,
      node: {
        paths: { persistent_path: join(agent.dir, "persist"), ephemeral_path: join(agent.dir, "tmp") },
        bigstore_enabled: false,
        identity: { addr: agent.address, external_addr: [agent.address], rack_id: zone },
      },
      dns_suffixes: [
        {
          name: "redis.example.com",
          cluster_default: true,
          use_aaaa_ns: false,
          use_internal_addr: false,
          slaves: [],
        },
        { name: "internal.redis.example.com", use_aaaa_ns: false, use_internal_addr: true, slaves: [] },
      ],
      credentials,
      license: "",
    });
    const through = (agent: AgentProcess): Promise<string> =>
      poll(`${agent.name} is through`, async () => {
        const { out } = await curl("-u", LOGIN, `${agent.url}/v1/bootstrap`);
        const state = jq(out, "bootstrap_status.state");
        return state === "completed" || state === "error" ? state : undefined;
      });
    const create = body(
      first,
      {
        action: "create_cluster",
        cluster: { name: "redis.example.com", nodes: [] },
        policy: { rack_aware: true },
      },
      "us-east1-b",
    );
    await curl(...post(create), `${first.url}/v1/bootstrap/create_cluster`);
    expect(await through(first)).toBe("completed");
    const join_ = body(second, { action: "join_cluster", cluster: { nodes: [first.address] } }, "us-east1-c");
    await curl(...post(join_), `${second.url}/v1/bootstrap/join_cluster`);
    expect(await through(second)).toBe("completed");
    expect(await membersAt(second)).toEqual(["node-1", "node-2"]);
    expect(await httpCode("-u", LOGIN, `${first.url}/v1/license`)).toBe("404");
  });
});

describe("a startup script of a machine image", () => {
  test("sends credentials from the first call on, reads .error_code of the answer, joins only a healthy cluster", async () => {
    const [first, second] = (await machines(2)) as [AgentProcess, AgentProcess];
    const own = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .find(({ internal, address }) => !internal && !address.startsWith("fe80"))?.address;
    const prepared = (agent: AgentProcess): Promise<true> =>
      poll(`${agent.name} knows its address`, async () => {
        const { out } = await curl("-u", LOGIN, `${agent.url}/v1/bootstrap`);
        const addresses = JSON.parse(jq(out, "local_node_info.available_addresses")) as { address: string }[];
        const known = addresses.some(({ address }) => address === (own ?? "127.0.0.1"));
        return jq(out, "bootstrap_status.state") === "idle" && known ? true : undefined;
      });
    const posts = async (agent: AgentProcess, action: string, body: object): Promise<void> => {
      const { out } = await curl("-u", LOGIN, ...post(body), `${agent.url}/v1/bootstrap/${action}`);
      // Anything at all that jq prints counts as a failure.
      expect(jq(out, "error_code")).toBe("");
      await poll(`${agent.name} has completed`, async () => {
        const answer = await curl("-u", LOGIN, `${agent.url}/v1/bootstrap`);
        return jq(answer.out, "bootstrap_status.state") === "completed" ? true : undefined;
      });
    };
    await Promise.all([prepared(first), prepared(second)]);
    await posts(first, "create_cluster", {
      action: "create_cluster",
      cluster: { nodes: [], name: "startup.example.com" },
      node: { identity: { addr: first.address } },
      credentials,
    });
    await poll("the cluster is healthy", async () => {
      const { out } = await curl("-u", LOGIN, `${first.url}/v1/cluster/check`);
      return jq(out, "cluster_test_result") === "true" ? true : undefined;
    });
    await posts(second, "join_cluster", {
      action: "join_cluster",
      cluster: { nodes: [first.address] },
      node: { identity: { addr: second.address } },
      credentials,
    });
    // A mistake of its own is told by the answer, in the place where it looks.
    const again = await curl(
      "-u",
      LOGIN,
      ...post({ action: "join_cluster", cluster: {}, credentials }),
      `${second.url}/v1/bootstrap/join_cluster`,
    );
    expect(jq(again.out, "error_code")).toBe("already_in_cluster");
    const { out } = await curl("-u", LOGIN, `${second.url}/v1/cluster/check`);
    expect(jq(out, "cluster_test_result")).toBe("true");
  });
});

describe("roles of Ansible", () => {
  /** The `uri` module: basic authentication forced, the body parsed, the status checked. */
  const uri = async (
    agent: AgentProcess,
    path: string,
    options: { body?: object; expected?: number[] } = {},
    // oxlint-disable-next-line typescript/no-explicit-any -- a role reads whatever it finds
  ): Promise<any> => {
    const { body, expected = [200] } = options;
    const { status, json, text } = await call(`${agent.url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      auth: LOGIN,
      ...(body === undefined ? {} : { body }),
    });
    if (!expected.includes(status)) throw new Error(`${agent.name} ${path}: ${status} ${text}`);
    return json;
  };

  /** One run of the playbook over all hosts; which tasks changed something. */
  async function playbook(agents: readonly AgentProcess[]): Promise<string[]> {
    const changed: string[] = [];
    const [first] = agents as [AgentProcess];
    for (const agent of agents) {
      await poll(`${agent.name} tells a state`, async () => {
        const json = await uri(agent, "/v1/bootstrap").catch(() => undefined);
        return json?.bootstrap_status?.state === undefined ? undefined : true;
      });
    }
    for (const agent of agents) {
      const { bootstrap_status } = await uri(agent, "/v1/bootstrap");
      if (bootstrap_status.state === "completed") continue;
      const action = agent === first ? "create_cluster" : "join_cluster";
      const cluster =
        agent === first
          ? { nodes: [], name: "ansible.example.com", clobber: true }
          : { nodes: [first.address], name: "ansible.example.com", clobber: true };
      const body = {
        action,
        cluster,
        node: {
          paths: { persistent_path: join(agent.dir, "persist"), ephemeral_path: join(agent.dir, "tmp") },
          identity: { addr: agent.address, rack_id: `rack-${agents.indexOf(agent) + 1}` },
        },
        policy: { rack_aware: true },
        dns_suffixes: [{ name: "ansible.example.com", cluster_default: true }],
        credentials,
      };
      await uri(agent, `/v1/bootstrap/${action}`, { body });
      changed.push(`${action} ${agent.name}`);
      await poll(`${agent.name} has completed`, async () => {
        const { bootstrap_status: now } = await uri(agent, "/v1/bootstrap");
        if (now.state === "error") throw new Error(JSON.stringify(now));
        return now.state === "completed" ? true : undefined;
      });
    }
    return changed;
  }

  test("credentials are forced on idle nodes; the second run changes nothing", async () => {
    const agents = await machines(2);
    expect(await playbook(agents)).toEqual(["create_cluster node-1", "join_cluster node-2"]);
    const before = await Promise.all(
      agents.map(async (agent) => (await uri(agent, "/v1/bootstrap")).bootstrap_status),
    );
    expect(await playbook(agents)).toEqual([]);
    const after = await Promise.all(
      agents.map(async (agent) => (await uri(agent, "/v1/bootstrap")).bootstrap_status),
    );
    expect(after).toEqual(before);
    expect(await membersAt(agents[0] as AgentProcess)).toEqual(["node-1", "node-2"]);
  });
});

describe("one node for a test or a demonstration", () => {
  test("a set-up script for a plugin: waits for 200, posts with curl -f, polls every second with credentials", async () => {
    const node = machine();
    const up = poll("200 on /v1/bootstrap", async () =>
      (await httpCode(`${node.url}/v1/bootstrap`)) === "200" ? true : undefined,
    );
    await node.start();
    await up;
    const body = { action: "create_cluster", cluster: { name: "cluster.local" }, credentials };
    expect(
      await curl("-f", "-o", "/dev/null", ...post(body), `${node.url}/v1/bootstrap/create_cluster`),
    ).toEqual({ code: 0, out: "" });
    await poll("completed", async () => {
      const { code, out } = await curl("-f", "-u", LOGIN, `${node.url}/v1/bootstrap`);
      return code === 0 && jq(out, "bootstrap_status.state") === "completed" ? true : undefined;
    });
    // What it does next is about roles and databases; there are none here, and -f says so at once.
    for (const path of ["/v1/roles", "/v1/redis_acls", "/v1/bdbs"]) {
      expect((await curl("-f", "-u", LOGIN, `${node.url}${path}`)).code).toBe(22);
      expect(await httpCode("-u", LOGIN, `${node.url}${path}`)).toBe("404");
    }
  });

  test("a demonstration: tries the POST until it is taken, then looks at the calls it needs; a probe looks on all the while", async () => {
    const node = machine();
    const probe = (): Promise<string> => httpCode("-u", LOGIN, `${node.plainUrl}/v1/bootstrap`);
    const body = {
      action: "create_cluster",
      cluster: { name: "re-cluster.local" },
      node: { paths: {} },
      policy: { rack_aware: false },
      credentials,
    };
    const taken = poll("the POST is taken", async () =>
      (await httpCode(...post(body), `${node.url}/v1/bootstrap/create_cluster`)) === "200" ? true : undefined,
    );
    await node.start();
    const seen = new Set<string>();
    await taken;
    for (const [path, wanted] of [
      ["/v1/bootstrap", "200"],
      ["/v1/nodes", "200"],
      ["/v1/modules", "404"],
    ] as const) {
      await poll(`${wanted} on ${path}`, async () => {
        seen.add(await probe());
        return (await httpCode("-u", LOGIN, `${node.url}${path}`)) === wanted ? true : undefined;
      });
    }
    // The pod's probe is content before, while and after.
    expect([...seen]).toEqual(["200"]);
  });

  test("a harness in Java: every second until idle, whatever goes wrong meanwhile; then the smallest bodies", async () => {
    const agents = [machine(), machine()] as [AgentProcess, AgentProcess];
    const [first, second] = agents;
    const idle = agents.map((agent) =>
      poll("idle", async () => {
        try {
          const { json } = await call(`${agent.url}/v1/bootstrap`, { auth: LOGIN });
          return json.bootstrap_status.state === "idle" ? true : undefined;
        } catch {
          return undefined;
        }
      }),
    );
    // The probe of a pod that is not bootstrapped yet wants 200, too.
    const probe = poll("the probe is content", async () =>
      (await httpCode("-u", LOGIN, `${first.plainUrl}/v1/bootstrap`)) === "200" ? true : undefined,
    );
    await Promise.all(agents.map((agent) => agent.start()));
    await Promise.all([...idle, probe]);

    const completed = (agent: AgentProcess): Promise<true> =>
      poll("completed", async () => {
        const { out } = await curl("-u", LOGIN, `${agent.url}/v1/bootstrap`);
        return jq(out, "bootstrap_status.state") === "completed" ? true : undefined;
      });
    const create = { action: "create_cluster", cluster: { name: "cluster.local" }, credentials };
    expect(await httpCode(...post(create), `${first.url}/v1/bootstrap/create_cluster`)).toBe("200");
    await completed(first);
    const join_ = { action: "join_cluster", cluster: { nodes: [first.address] }, credentials };
    expect(await httpCode(...post(join_), `${second.url}/v1/bootstrap/join_cluster`)).toBe("200");
    await completed(second);
    expect(await membersAt(first)).toEqual(["node-1", "node-2"]);
  });
});

describe("a lab of containers that may be run again", () => {
  const CONTENT = /already|member|join.*progress/i;

  async function lab(agents: readonly AgentProcess[]): Promise<void> {
    const [first, ...others] = agents as [AgentProcess, ...AgentProcess[]];
    const ask = async (agent: AgentProcess, action: string, body: object): Promise<void> => {
      const { out } = await curl("-u", LOGIN, ...post(body), `${agent.url}/v1/bootstrap/${action}`);
      if (jq(out, "error_code") !== "" && !CONTENT.test(out)) throw new Error(out);
    };
    // Is there a cluster already?
    if ((await httpCode("-u", LOGIN, `${first.url}/v1/nodes`)) !== "200") {
      await ask(first, "create_cluster", {
        action: "create_cluster",
        cluster: { name: "docker-cluster" },
        credentials,
      });
      await poll("there are nodes", async () =>
        (await httpCode("-u", LOGIN, `${first.url}/v1/nodes`)) === "200" ? true : undefined,
      );
    }
    for (const agent of others) {
      await ask(agent, "join_cluster", {
        action: "join_cluster",
        cluster: { nodes: [first.address] },
        credentials,
      });
    }
    await poll("three nodes are active", async () => {
      const { out } = await curl("-u", LOGIN, `${first.url}/v1/nodes`);
      const nodes = JSON.parse(out) as { status: string }[];
      return nodes.filter(({ status }) => status === "active").length === 3 ? true : undefined;
    });
  }

  test("asks for the nodes first, takes a member for success, counts the active ones up to three", async () => {
    const agents = await machines(3);
    await lab(agents);
    const before = await membersAt(agents[1] as AgentProcess);
    await lab(agents);
    expect(await membersAt(agents[1] as AgentProcess)).toEqual(before);
    const { out } = await curl("-u", LOGIN, `${(agents[2] as AgentProcess).url}/v1/nodes`);
    const nodes = JSON.parse(out) as { uid: number; addr: string }[];
    expect(nodes.map(({ addr }) => addr).toSorted()).toEqual(names(agents).toSorted());
  });
});

describe("racks", () => {
  test("a joiner that starts first and waits; a join without a rack is told which there are", async () => {
    const [first, early, third, without] = (await machines(4)) as [
      AgentProcess,
      AgentProcess,
      AgentProcess,
      AgentProcess,
    ];
    const identity = (rack: string): object => ({ node: { identity: { rack_id: rack } } });
    const joins = (agent: AgentProcess, more: object): Promise<string> => {
      const body = { action: "join_cluster", cluster: { nodes: [first.address] }, credentials, ...more };
      return httpCode(...post(body), `${agent.url}/v1/bootstrap/join_cluster`);
    };
    const over = (agent: AgentProcess): Promise<string> =>
      poll(`${agent.name} is through`, async () => {
        const { out } = await curl("-u", LOGIN, `${agent.url}/v1/bootstrap`);
        return ["completed", "error"].includes(jq(out, "bootstrap_status.state")) ? out : undefined;
      });
    expect(await joins(early, { ...identity("rack-b"), max_retries: 30, retry_time: 1 })).toBe("200");
    await poll("its first try has failed", async () => {
      const { out } = await curl(`${early.url}/v1/bootstrap`);
      const { steps = [] } = JSON.parse(jq(out, "bootstrap_status")) as { steps?: { state: string }[] };
      return steps.some(({ state }) => state === "failed") ? true : undefined;
    });
    const create = {
      action: "create_cluster",
      cluster: { name: "racks.example.com" },
      policy: { rack_aware: true },
      credentials,
      ...identity("rack-a"),
    };
    expect(await httpCode(...post(create), `${first.url}/v1/bootstrap/create_cluster`)).toBe("200");
    expect(jq(await over(early), "bootstrap_status.state")).toBe("completed");

    expect(await joins(without, {})).toBe("200");
    const refused = await over(without);
    expect(jq(refused, "bootstrap_status.error_code")).toBe("rack_id_required");
    expect(jq(refused, "bootstrap_status.error_details.current_rack_ids")).toBe('["rack-a","rack-b"]');
    // Its node goes on without a login, and a corrected request is taken.
    expect(await httpCode(`${without.url}/v1/bootstrap`)).toBe("200");

    expect(await joins(third, identity("RACK-C"))).toBe("200");
    expect(jq(await over(third), "bootstrap_status.state")).toBe("completed");
    expect(await joins(without, identity("Rack-A"))).toBe("200");
    expect(jq(await over(without), "bootstrap_status.state")).toBe("completed");
    const { out } = await curl("-u", LOGIN, `${third.url}/v1/nodes`);
    const racks = (JSON.parse(out) as { uid: number; rack_id: string }[]).map(({ rack_id }) => rack_id);
    expect(racks.toSorted()).toEqual(["RACK-C", "rack-a", "rack-a", "rack-b"]);
  });
});
