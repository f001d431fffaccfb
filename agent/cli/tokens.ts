import { InvalidArgumentError, type Command } from "commander";

import { demand, succeed, type Target } from "./client.ts";
import { connecting, print, targetOf, type Connection } from "./connection.ts";
import { table } from "./print.ts";
import { checked } from "#shared/contract/check.ts";
import { JoinTokenList, NewJoinToken, type JoinToken } from "#shared/contract/native.ts";
import { TOKEN_TTL_MS_MAX } from "#shared/lib/limits.ts";
import { epochMs, isoSeconds } from "#shared/lib/time.ts";

const PATH = "/muster/v1/tokens";
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `muster token create`, `list` and `revoke`. */
export function tokenCommands(program: Command): void {
  const token = program.command("token").description("make, list and revoke the tokens that let hosts join");

  connecting(
    token.command("create").description("make a token that lets one host join; it is shown this once"),
  )
    .option("--ttl <time>", "how long it is valid: 90s, 30m, 12h, 7d", seconds)
    .option("--note <text>", "what it is for, shown in the list")
    .action(async (options: Connection & { ttl?: number; note?: string }) => {
      const made = await createToken(await targetOf(options), options);
      // Nothing but the token on the output, so that it can go straight into a file.
      print(options, made, () => made.token);
    });

  connecting(token.command("list").description("list the tokens and what became of them")).action(
    async (options: Connection) => {
      const tokens = await listTokens(await targetOf(options));
      print(options, tokens, () => tokensTable(tokens));
    },
  );

  connecting(token.command("revoke").description("take a token back: nobody can join with it any more"))
    .argument("<id>", "its id, as the list shows it")
    .action(async (id: string, options: Connection) => {
      await succeed(await targetOf(options), "DELETE", `${PATH}/${encodeURIComponent(id)}`);
      print(options, { revoked: id }, () => `the token ${id} is revoked`);
    });
}

/** Makes a token. `ttl` in seconds; a day when left out. */
function createToken(
  target: Target,
  { ttl, note }: { readonly ttl?: number; readonly note?: string },
): Promise<NewJoinToken> {
  return demand(target, "POST", PATH, (body) => checked(NewJoinToken, body), {
    ...(ttl === undefined ? {} : { ttl_s: ttl }),
    ...(note === undefined ? {} : { note }),
  });
}

async function listTokens(target: Target): Promise<readonly JoinToken[]> {
  return (await demand(target, "GET", PATH, (body) => checked(JoinTokenList, body))).tokens;
}

function tokensTable(tokens: readonly JoinToken[]): string {
  return table(
    ["ID", "STATE", "EXPIRES", "MADE BY", "USED BY", "NOTE"],
    tokens.map(({ id, state, expires_at_ms, created_by, used_by, note }) => [
      id,
      state,
      isoSeconds(epochMs(expires_at_ms)),
      created_by,
      used_by === null ? "-" : (used_by.name ?? used_by.peer),
      note,
    ]),
  );
}

/** `90s`, `30m`, `12h`, `7d` as seconds. */
export function seconds(text: string): number {
  const [, count = "", unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const value = Number(count) * (SECONDS[unit] ?? 0);
  if (value >= 1 && value * 1000 <= TOKEN_TTL_MS_MAX) return value;
  throw new InvalidArgumentError(
    `a time such as 90s, 30m, 12h or 7d, at most ${TOKEN_TTL_MS_MAX / 86_400_000}d.`,
  );
}
