import { describe, expect, test } from "vitest";

import { mayPass, toFailure } from "#shared/bootstrap/failure.ts";
import { BOOTSTRAP_ERROR_CODES, type BootstrapErrorCode } from "#shared/bootstrap/machine.ts";
import { AppError } from "#shared/errors/app-error.ts";
import type { ErrorFacts } from "#shared/errors/kinds.ts";
import { errorExamples } from "#test/support/error-examples.ts";

type Told = Pick<ErrorFacts, BootstrapErrorCode>;

/** For each code of seed 003: facts, and what its sentence tells somebody to do. */
const CODES: { readonly [K in BootstrapErrorCode]: readonly [facts: Told[K], advice: RegExp] } = {
  config_error: [{ field: "cluster.name", rule: "is required" }, /^cluster\.name: is required$/],
  connect_error: [
    { tried: [{ address: "10.0.0.1", cause: "refused" }] },
    /10\.0\.0\.1: refused; cluster\.nodes must/,
  ],
  access_denied: [{}, /give those of one of its administrators/],
  invalid_license: [{ violation: "bad_base64" }, /bad_base64; give it as it was handed out/],
  repair_required: [
    { failed_nodes: [{ uid: 2, rack_id: "a" }], replace_candidate: 2 },
    /join with node\.identity\.uid 2/,
  ],
  insufficient_node_memory: [{ required_memory: 1024 }, /1024 bytes of memory.*use a larger host/],
  insufficient_node_flash: [{ required_flash: 1024 }, /1024 bytes of flash.*use a larger disk/],
  time_not_sync: [{ offset_ms: 7000, limit_ms: 5000 }, /7000 ms off.*5000 ms.*synchronise it/],
  rack_id_required: [{ current_rack_ids: ["a", "b"] }, /give node\.identity\.rack_id \(in use: a, b\)/],
  socket_directory_mismatch: [
    { expected: "/run/a", actual: "/run/b" },
    /set api_listen to a unix socket in \/run\/a/,
  ],
  node_config_mismatch: [{ setting: "s", expected: "1", actual: "2" }, /s = 1.*2; give this node/],
  path_error: [{ path: "/x", cause: "EROFS: read-only file system", errno: "EROFS" }, /^\/x: EROFS/],
  internal_error: [{ incident: "i-1" }, /look for incident i-1 in the agent's log/],
};

describe.each(BOOTSTRAP_ERROR_CODES)("%s", (code) => {
  test("is told under its own code, with its facts and a sentence that says what to do", () => {
    const [facts, advice] = CODES[code];
    const failure = toFailure(new AppError(code, facts));
    expect(failure).toMatchObject({ code, details: facts });
    expect(failure.details.message).toMatch(advice);
  });
});

test("whatever else goes wrong has a code, and its facts", () => {
  for (const error of errorExamples()) {
    const { code, details } = toFailure(error);
    expect(BOOTSTRAP_ERROR_CODES).toContain(code);
    expect(details).toMatchObject(error.facts);
    expect(details.message).toContain(error.message);
  }
});

test("a name that is taken is told by the field of the request, with what to do", () => {
  const { code, details } = toFailure(new AppError("member_name_exists", { name: "host-2" }));
  const rule = "another member is already called host-2; give this host another name";
  expect({ code, details }).toEqual({
    code: "config_error",
    details: { name: "host-2", field: "node.identity.name", rule, message: `node.identity.name: ${rule}` },
  });
});

test("no address at all is a connect_error, too", () => {
  expect(new AppError("connect_error", { tried: [] }).message).toMatch(
    /^no address of the cluster is known; /,
  );
});

test("only what may pass by itself is tried again", () => {
  const passes = BOOTSTRAP_ERROR_CODES.filter((code) => mayPass({ code, details: { message: "" } }));
  expect(passes).toEqual(["connect_error"]);
});
