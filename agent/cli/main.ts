import { Command, Option } from "commander";

import { SOFTWARE_VERSION } from "#shared/lib/version.ts";

import { backupCommands } from "./backup-commands.ts";
import { bootstrapCommands } from "./bootstrap-commands.ts";
import { changeCluster, clusterTable, handOver, leaveCluster, readCluster } from "./cluster.ts";
import { NoAnswer } from "./client.ts";
import { connecting, print, targetOf, wholeNumber, type Connection } from "./connection.ts";
import { DevRefused } from "./dev/layout.ts";
import { runDev } from "./dev/run.ts";
import { listMembers, membersTable, removeMember } from "./members.ts";
import { readStatus, statusTable } from "./status.ts";
import { tokenCommands } from "./tokens.ts";

interface Settings {
  readonly candidatePoolSize?: number;
  readonly failedAfterMs?: number;
  readonly repairPolicy?: "replace" | "open";
}

const program = new Command("muster")
  .description("Turns a set of Linux hosts into one cluster.")
  .version(SOFTWARE_VERSION);

// Runs in muster.js, which starts the agent without this file; here it is for the help text only.
program.command("agent").description("run the agent of this host (muster agent --help)");

program
  .command("dev")
  .description("run a cluster of several agents on this machine, for trying things out")
  .option("--dir <dir>", "folder for data, logs and credentials", ".muster-dev")
  .option("--agents <n>", "how many agents", wholeNumber(1, 50), 3)
  .option("--base-port <port>", "API port; the mesh uses the next one", wholeNumber(1024, 65_534), 9443)
  .action(async (options: { dir: string; agents: number; basePort: number }) => {
    process.exitCode = await runDev(options);
  });

bootstrapCommands(program);

connecting(program.command("status").description("tell how this host's agent is")).action(
  async (options: Connection) => {
    const status = await readStatus(await targetOf(options));
    print(options, status, () => statusTable(status));
  },
);

connecting(program.command("members").description("list the members of the cluster")).action(
  async (options: Connection) => {
    const members = await listMembers(await targetOf(options));
    print(options, members, () => membersTable(members));
  },
);

connecting(program.command("remove").description("take a host that is gone out of the cluster for good"))
  .argument("<host>", "its name, peer id, uuid or uid")
  .option("--force", "also a host that is alive")
  .action(async (host: string, options: Connection & { force?: true }) => {
    await removeMember(await targetOf(options), host, options.force === true);
    print(options, { removed: host }, () => `${host} is out of the cluster`);
  });

connecting(program.command("leave").description("take this host out of its cluster")).action(
  async (options: Connection) => {
    const left = await leaveCluster(await targetOf(options));
    print(options, left, () => `this host has left ${left.cluster}`);
  },
);

connecting(program.command("leader").description("hand leadership over to another host"))
  .option("--to <host>", "who is to lead; the best suited when left out")
  .action(async (options: Connection & { to?: string }) => {
    const leader = await handOver(await targetOf(options), options.to);
    print(options, leader, () => `${leader.leader} leads now`);
  });

const cluster = program.command("cluster").description("show or change what holds for the whole cluster");

connecting(cluster.command("get").description("show the cluster and its settings")).action(
  async (options: Connection) => {
    const found = await readCluster(await targetOf(options));
    print(options, found, () => clusterTable(found));
  },
);

connecting(cluster.command("set").description("change settings of the cluster"))
  .option("--candidate-pool-size <n>", "how many members vote or stand by at most", wholeNumber(1, 1024))
  .option("--failed-after-ms <ms>", "how long a dead member is waited for", wholeNumber(1000, 86_400_000))
  .addOption(
    new Option(
      "--repair-policy <policy>",
      "who may join while a member has failed: only hosts that take its place, or any",
    ).choices(["replace", "open"]),
  )
  .action(async (options: Connection & Settings) => {
    const { candidatePoolSize, failedAfterMs, repairPolicy } = options;
    const changed = await changeCluster(await targetOf(options), {
      ...(candidatePoolSize === undefined ? {} : { candidate_pool_size: candidatePoolSize }),
      ...(failedAfterMs === undefined ? {} : { failed_after_ms: failedAfterMs }),
      ...(repairPolicy === undefined ? {} : { repair_policy: repairPolicy }),
    });
    print(options, changed, () => clusterTable(changed));
  });

tokenCommands(program);
backupCommands(program);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof NoAnswer || error instanceof DevRefused)) throw error;
  process.stderr.write(`muster: ${error.message}\n`);
  process.exitCode = 1;
}
