import { Command, InvalidArgumentError } from "commander";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { seconds, tokenCommands } from "#agent/cli/tokens.ts";

const TOKEN = { id: "t1", token: "muster1.abc", expires_at_ms: 1_800_000_000_000 };
const LISTED = {
  id: "t1",
  note: "rack 7",
  created_by: "admin",
  created_at_ms: 1_700_000_000_000,
  expires_at_ms: 1_800_000_000_000,
  used_by: { peer: "12D3KooWX", name: "host-2" },
  used_at_ms: 1_700_000_000_001,
  state: "used",
};

let server: Server;
let asked: string[];
let printed: string;
beforeEach(async () => {
  asked = [];
  printed = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      asked.push(`${request.method} ${request.url} ${Buffer.concat(chunks).toString()}`.trimEnd());
      if (request.method === "DELETE") response.writeHead(204).end();
      else response.end(JSON.stringify(request.method === "POST" ? TOKEN : { tokens: [LISTED] }));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  server.close();
});

async function muster(...args: readonly string[]): Promise<string> {
  const program = new Command("muster").exitOverride();
  tokenCommands(program);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await program.parseAsync(["token", ...args, "--url", url], { from: "user" });
  return printed.trimEnd();
}

test("create prints the token and nothing else", async () => {
  expect(await muster("create")).toBe(TOKEN.token);
  expect(asked).toEqual(["POST /muster/v1/tokens {}"]);
});

test("create says how long it is valid and what it is for", async () => {
  expect(JSON.parse(await muster("create", "--ttl", "12h", "--note", "rack 7", "--json"))).toEqual(TOKEN);
  expect(asked).toEqual(['POST /muster/v1/tokens {"ttl_s":43200,"note":"rack 7"}']);
});

test("list shows what became of each", async () => {
  const [head, row] = (await muster("list")).split("\n");
  expect(head).toMatch(/^ID +STATE +EXPIRES +MADE BY +USED BY +NOTE$/);
  expect(row).toMatch(/^t1 +used +2027-01-15T08:00:00Z +admin +host-2 +rack 7$/);
});

test("revoke takes one back", async () => {
  expect(await muster("revoke", "t/1")).toBe("the token t/1 is revoked");
  expect(asked).toEqual(["DELETE /muster/v1/tokens/t%2F1"]);
});

describe("times", () => {
  test.each([
    ["90s", 90],
    ["30m", 1800],
    ["12h", 43_200],
    ["30d", 2_592_000],
  ])("%s", (text, value) => expect(seconds(text)).toBe(value));

  test.each(["", "0s", "5", "1w", "-1h", "1.5h", "31d", "99999999999s", "h"])("%j is none", (text) => {
    expect(() => seconds(text)).toThrow(InvalidArgumentError);
  });
});
