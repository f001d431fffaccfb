import { call, NoAnswer, type Answer, type Target } from "#agent/cli/client.ts";
import { table } from "#agent/cli/print.ts";
import {
  BootstrapAnswer,
  BootstrapRefusal,
  RecoveryOutline,
  type BootstrapStep,
  type RecoveryCopy,
} from "#shared/contract/bootstrap.ts";
import { checked } from "#shared/contract/check.ts";

const PATH = "/v1/bootstrap";
/** A bootstrap is looked at this often, and at once when its state changes: steps within a state are seen no later than this. */
const WAIT = "1s";
/** Longest a recovery may take to find out what copies there are: it asks every agent that it is told of. Milliseconds. */
const SURVEY_MS_MAX = 300_000;

type Action = "create_cluster" | "join_cluster" | "recover_cluster";

/** How a bootstrap stands; null when the host asks for credentials, which it does once it is in a cluster. */
export type Standing = BootstrapAnswer | null;

/** Starts one, and follows it until it is over; tells each step as it begins and ends. Rejects with NoAnswer when it is refused or fails. */
export async function runBootstrap(
  target: Target,
  action: Action,
  body: object,
  onStep: (step: BootstrapStep) => void,
): Promise<Standing> {
  const posted = await call(target, "POST", `${PATH}/${action}`, body);
  if (!isFine(posted)) throw refused(posted);
  const told = new Set<string>();
  for (let known = "initiated"; ;) {
    const now = await lookOn(target, known);
    if (now === null) return null;
    const { state, steps = [] } = now.bootstrap_status;
    for (const [at, step] of steps.entries()) {
      const news = `${at} ${step.name} ${step.state}`;
      if (told.has(news)) continue;
      told.add(news);
      onStep(step);
    }
    if (state === "completed" || state === "error" || state === "idle") return now;
    known = state;
  }
}

/**
 * How it stands as soon as it is in another state than `known`. A look that began before the host was in the cluster is told the bare
 * state when it gets there: one more, with a login, tells the steps and the uid. Without a good one, that it is there is enough.
 */
async function lookOn(target: Target, known: string): Promise<Standing> {
  const now = await readBootstrap(target, known);
  const status = now?.bootstrap_status;
  const bare = status?.state === "completed" && status.steps === undefined;
  return bare ? ((await readBootstrap(target).catch(() => null)) ?? now) : now;
}

/** How it stands now; with `unlike`, as soon as it is in another state than that, and in any case after a moment. */
export async function readBootstrap(target: Target, unlike?: string): Promise<Standing> {
  const query = unlike === undefined ? "" : `?wait=${WAIT}&state=${encodeURIComponent(unlike)}`;
  const answer = await call(target, "GET", `${PATH}${query}`);
  if (answer.status === 401) return null;
  if (!isFine(answer)) throw refused(answer);
  const found = checked(BootstrapAnswer, answer.json);
  if (found === null) throw new NoAnswer(`${target.url}${PATH} answered in an unknown form`);
  return found;
}

/** What a recovery would do. Rejects with NoAnswer that says what it would fail for. */
export async function outlineRecovery(target: Target, body: object): Promise<RecoveryOutline> {
  const answer = await call(target, "POST", `${PATH}/validate/recover_cluster`, body, {
    timeoutMs: SURVEY_MS_MAX,
  });
  if (!isFine(answer)) throw refused(answer);
  const found = checked(RecoveryOutline, answer.json);
  if (found === null) throw new NoAnswer(`${target.url} answered in an unknown form`);
  return found;
}

/** Why it failed, in one line that begins with the code; null when it did not. */
export function failureOf(standing: Standing): string | null {
  if (standing === null || standing.bootstrap_status.state !== "error") return null;
  const { error_code = "internal_error", error_details } = standing.bootstrap_status;
  const { message = "no reason was given", replace_candidate } = error_details ?? {};
  const flag = replace_candidate === undefined ? "" : ` (here: --uid ${replace_candidate})`;
  return `${error_code}: ${message}${flag}`;
}

/** What became of it, when it did not fail. */
export function outcomeText(standing: Standing): string {
  if (standing === null) return "this host is in a cluster: it asks for credentials now";
  const { bootstrap_status: status, local_node_info: node } = standing;
  if (status.state !== "completed") return stateText(standing);
  const uid = node?.uid ?? null;
  return uid === null ? "this host is in the cluster" : `this host is in the cluster as node ${uid}`;
}

/** How it stands, for people: the state, and the steps of the attempt. */
export function standingText(standing: Standing): string {
  if (standing === null)
    return "this host is in a cluster and tells more to its users: give --user and --password-file";
  const { steps = [] } = standing.bootstrap_status;
  if (steps.length === 0) return stateText(standing);
  const rows = steps.map(({ name, state, start_time, end_time }) => [
    name,
    state,
    start_time ?? "-",
    end_time ?? "-",
  ]);
  return `${stateText(standing)}\n\n${table(["STEP", "STATE", "BEGAN", "ENDED"], rows)}`;
}

function stateText(standing: BootstrapAnswer): string {
  const { state, reason } = standing.bootstrap_status;
  const why = failureOf(standing) ?? reason;
  return why === undefined ? state : `${state} (${why})`;
}

export function stepText({ name, state }: BootstrapStep): string {
  return state === "running" ? `${name} …` : `${name} ${state}`;
}

/** What a recovery would start from, and what may be lost by it. */
export function outlineText(outline: RecoveryOutline): string {
  const { candidates, chosen, incarnation, uid, rejoin, unreachable, losses } = outline;
  const rows = candidates.map((copy) =>
    copyRow(copy, copy.where === chosen.where && copy.source === chosen.source),
  );
  const head = ["", "COPY", "WHERE", "INCARNATION", "TERM", "INDEX", "LAST CHANGE", "AGE"];
  const lines = [
    table(head, rows),
    "",
    `This host would carry ${chosen.cluster_name} on as node ${uid}, incarnation ${incarnation}. Nothing has been changed.`,
  ];
  if (rejoin.length > 0) {
    const names = rejoin.map((member) => `${member.name} (--uid ${member.uid})`).join(", ");
    lines.push(`These would have to join again, each in its own place: ${names}`);
  }
  for (const { address, cause } of unreachable) lines.push(`Not asked: ${address}: ${cause}`);
  for (const loss of losses) lines.push(`May be lost: ${loss}`);
  return lines.join("\n");
}

function copyRow(copy: RecoveryCopy, chosen: boolean): string[] {
  const { source, where, incarnation, term, index, time, age_ms } = copy;
  const age = age_ms === null ? "-" : `${Math.round(age_ms / 1000)} s`;
  return [chosen ? "*" : "", source, where, String(incarnation), String(term), String(index), time, age];
}

function isFine({ status }: Answer): boolean {
  return status >= 200 && status < 300;
}

function refused({ status, json, text }: Answer): NoAnswer {
  const body = checked(BootstrapRefusal, json);
  if (body === null) return new NoAnswer(`the agent answered ${status}: ${text.slice(0, 500)}`);
  return new NoAnswer(
    `${body.error_code}: ${body.error_details?.message ?? body.description ?? `status ${status}`}`,
  );
}
