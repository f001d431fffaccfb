import type { Command } from "commander";

import { inspectBackup, inspectedText } from "./backup-inspect.ts";
import { saveBackup } from "./backup-save.ts";
import { NoAnswer } from "./client.ts";
import { connecting, print, targetOf, type Connection } from "./connection.ts";

/** `backup save` and `backup inspect`. */
export function backupCommands(program: Command): void {
  const backup = program
    .command("backup")
    .description("save the cluster's registry to a file, or look into one");

  connecting(backup.command("save").description("save the asked agent's copy of the registry to a new file"))
    .argument("<file>", "a file that does not exist yet; it is as secret as the users' passwords")
    .option("--newest", "everything that was committed before; needs a majority")
    .action(async (file: string, options: Connection & { newest?: true }) => {
      const head = await saveBackup(await targetOf(options), file, { newest: options.newest === true });
      print(
        options,
        { file, head },
        () => `${file}: ${head.cluster_name} as of index ${head.index}, checked`,
      );
    });

  backup
    .command("inspect")
    .description("tell what a backup on this host holds, without what is secret; asks no agent")
    .argument("<file>")
    .option("--json", "print JSON")
    .action(async (file: string, options: { json?: true }) => {
      const found = await inspectBackup(file);
      print(options, found, () => inspectedText(found));
      if (found.problem !== null) throw new NoAnswer(`${file} ${found.problem}`);
    });
}
