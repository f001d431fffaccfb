import type { Command } from "commander";

import type { BootstrapStep } from "#shared/contract/bootstrap.ts";

import {
  failureOf,
  outcomeText,
  outlineRecovery,
  outlineText,
  readBootstrap,
  runBootstrap,
  standingText,
  stepText,
} from "./bootstrap.ts";
import { NoAnswer, type Target } from "./client.ts";
import { connecting, print, readSecret, targetOf, wholeNumber, type Connection } from "./connection.ts";

/** Who answers for the request to the cluster: beside --user, who answers for this call to the agent. */
interface Administrator {
  readonly admin?: string;
  readonly adminPasswordFile?: string;
}

/** What proves to a cluster that somebody answers for the request. */
type Proof = { readonly username: string; readonly password: string } | { readonly token: string };

interface Place {
  readonly uid?: number;
  readonly rackId?: string;
  readonly overrideRackId?: true;
}

const UID_MAX = 2 ** 31 - 1;

/** `create`, `join`, `recover`, and `bootstrap`, which tells how far they are. */
export function bootstrapCommands(program: Command): void {
  administered(connecting(program.command("create").description("make a new cluster of this host")))
    .argument("<name>", "the cluster's name, such as my.cluster")
    .option("--rack-id <rack>", "the rack or zone that this host is in")
    .option("--rack-aware", "every host of the cluster has to name its rack")
    .action(async (name: string, options: Connection & Administrator & Place & { rackAware?: true }) => {
      const credentials = await credentialsOf(options);
      if (credentials === null) {
        throw new NoAnswer("a cluster needs an administrator: give --admin and --admin-password-file");
      }
      const policy = options.rackAware === true ? { policy: { rack_aware: true } } : {};
      const body = { cluster: { name }, node: nodeOf(options), ...policy };
      await run(options, "create_cluster", credentials, body);
    });

  administered(connecting(program.command("join").description("bring this host into a cluster")))
    .argument("[node...]", "members to ask: HOST or HOST:PORT; with a token those that it names")
    .option("--token-file <file>", "file with a join token; - reads it from the input")
    .option("--uid <n>", "take the place of the failed host with this uid", wholeNumber(1, UID_MAX))
    .option("--rack-id <rack>", "the rack or zone that this host is in")
    .option("--override-rack-id", "take the place of a host in another rack")
    .action(
      async (
        nodes: readonly string[],
        options: Connection & Administrator & Place & { tokenFile?: string },
      ) => {
        const { tokenFile } = options;
        const login = await credentialsOf(options);
        if ((tokenFile === undefined) === (login === null)) {
          throw new NoAnswer("give either --token-file, or --admin and --admin-password-file");
        }
        if (tokenFile === undefined && nodes.length === 0)
          throw new NoAnswer("name a member of the cluster to ask");
        const proof = tokenFile === undefined ? login : { token: (await readSecret(tokenFile)).trim() };
        await run(options, "join_cluster", proof, { cluster: { nodes }, node: nodeOf(options) });
      },
    );

  administered(
    connecting(program.command("recover").description("carry a lost cluster on from a copy of its registry")),
  )
    .argument("[node...]", "agents that may hold a newer copy: HOST or HOST:PORT")
    .option(
      "--file <file>",
      "a backup on the agent's host: an absolute path, or one below its persistent path",
    )
    .option("--uid <n>", "which node of the cluster this host is", wholeNumber(1, UID_MAX))
    .option("--rack-id <rack>", "the rack or zone that this host is in")
    .option("--override-rack-id", "this host is in another rack than that node was")
    .option("--dry-run", "change nothing; tell which copies there are and what may be lost")
    .action(
      async (
        nodes: readonly string[],
        options: Connection & Administrator & Place & { file?: string; dryRun?: true },
      ) => {
        const credentials = await credentialsOf(options);
        const file = options.file === undefined ? {} : { recovery_filename: options.file };
        const body = { cluster: { nodes }, ...file, node: nodeOf(options) };
        if (options.dryRun !== true) return run(options, "recover_cluster", credentials, body);
        const outline = await outlineRecovery(await targetOf(options), withProof(body, credentials));
        print(options, outline, () => outlineText(outline));
      },
    );

  connecting(program.command("bootstrap").description("tell how far this host's bootstrap is")).action(
    async (options: Connection) => {
      const standing = await readBootstrap(await targetOf(options));
      print(options, standing, () => standingText(standing));
    },
  );
}

/** The flags that name the administrator of the cluster in the request itself. */
function administered(command: Command): Command {
  return command
    .option("--admin <name>", "an administrator of the cluster")
    .option(
      "--admin-password-file <file>",
      "file with the administrator's password; - reads it from the input",
    );
}

async function credentialsOf({
  admin,
  adminPasswordFile,
}: Administrator): Promise<Extract<Proof, { username: string }> | null> {
  if (admin === undefined && adminPasswordFile === undefined) return null;
  if (admin === undefined || adminPasswordFile === undefined) {
    throw new NoAnswer("--admin and --admin-password-file go together");
  }
  return { username: admin, password: await readSecret(adminPasswordFile) };
}

function nodeOf({ uid, rackId, overrideRackId }: Place): object {
  const identity = {
    ...(uid === undefined ? {} : { uid }),
    ...(rackId === undefined ? {} : { rack_id: rackId }),
    ...(overrideRackId === undefined ? {} : { override_rack_id: true }),
  };
  return { identity };
}

function withProof(body: object, proof: Proof | null): object {
  return proof === null ? body : { ...body, credentials: proof };
}

async function run(
  options: Connection,
  action: Parameters<typeof runBootstrap>[1],
  proof: Proof | null,
  body: object,
): Promise<void> {
  const tell = (step: BootstrapStep): void => {
    if (options.json !== true) process.stdout.write(`${stepText(step)}\n`);
  };
  const target = followable(await targetOf(options), proof);
  const standing = await runBootstrap(target, action, withProof(body, proof), tell);
  const failure = failureOf(standing);
  if (failure === null || options.json === true) print(options, standing, () => outcomeText(standing));
  if (failure !== null) throw new NoAnswer(failure);
}

/** Once the host is in the cluster it asks for credentials: those of the request are good ones then. Before, it ignores them. */
function followable(target: Target, proof: Proof | null): Target {
  if (target.credentials !== null || proof === null || !("username" in proof)) return target;
  return { ...target, credentials: proof };
}
