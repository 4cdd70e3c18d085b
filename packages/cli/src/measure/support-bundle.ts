/** The content of a support bundle. Each part is collected separately, and a part that fails contains the reason. */
import { release, totalmem } from "node:os";
import { ClientError } from "coder-client/base/client-error";
import type { ConnectedWorkspace } from "coder-client/connection/connect";
import { probeNetwork } from "coder-client/connection/network-probe";
import type { Deployment } from "coder-client/rest/deployment";
import { findWorkspace } from "coder-client/rest/workspaces";
import { parseWorkspaceName } from "coder-protocol/names";
import type { Workspace } from "coder-protocol/rest/workspaces";
import { strToU8, zipSync } from "fflate";
import type { Logger } from "wg-userspace/base/ports";
import { describeUdpCarrier } from "wg-userspace/io/udp/udp-batch";
import { VERSION } from "../base/version.ts";
import { agentPage } from "../connection/agent-api.ts";
import { connectWorkspace } from "../connection/connect.ts";
import { answeredByLines } from "../diagnosis/answered-by.ts";
import { netcheckJson, netcheckLines } from "../diagnosis/netcheck-text.ts";
import { localInterfaces } from "./interfaces.ts";
import { runPings } from "./ping.ts";
import type { Redactor } from "./redaction.ts";

const PART_TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 20_000;
const MAX_PART_BYTES = 16 * 1024 * 1024;

export interface BundleRequest {
  readonly deployment: Deployment;
  /** As typed; when absent, the bundle has nothing about a workspace. */
  readonly workspace: string | undefined;
  readonly disableDirect: boolean;
  readonly redactor: Redactor;
  readonly logger: Logger;
  /** What the command itself has logged so far. */
  readonly ownLog: () => string;
  readonly signal: AbortSignal;
  readonly onPart: (name: string) => void;
  /** Called with a line for the user. */
  readonly warn: (text: string) => void;
}

export interface BundlePart {
  readonly name: string;
  /** Undefined when the part failed. */
  readonly content: string | undefined;
  readonly error?: string;
}

export interface Bundle {
  readonly parts: readonly BundlePart[];
  /** For people, with what looks wrong first. */
  readonly summary: string;
}

type Collect = (signal: AbortSignal) => Promise<unknown>;
/** Adds a part to the bundle; undefined if it could not be collected. */
type Add = (name: string, collect: Collect) => Promise<unknown>;

/** Rejects only when `signal` aborts or the workspace is not found. */
export async function collectBundle(bundle: BundleRequest): Promise<Bundle> {
  const { deployment, signal } = bundle;
  const findings: string[] = [];
  const parts: BundlePart[] = [];
  const add: Add = async (name, collect) => {
    signal.throwIfAborted();
    bundle.onPart(name);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(PART_TIMEOUT_MS)]);
    try {
      const value = await collect(limit);
      const text =
        typeof value === "string" ? bundle.redactor.text(value) : JSON.stringify(bundle.redactor.json(value), null, 2);
      parts.push({ name, content: (text ?? "null").slice(0, MAX_PART_BYTES) });
      return value;
    } catch (error) {
      signal.throwIfAborted();
      const why = bundle.redactor.text(error instanceof Error ? error.message : String(error));
      parts.push({ name, content: undefined, error: why });
      return undefined;
    }
  };
  const get =
    (path: string): Collect =>
    (limit) =>
      deployment.call(path, { signal: limit });

  await add("client/facts.json", async () => clientFacts());
  await add("client/interfaces.json", async () => localInterfaces());
  const info = await add("deployment/buildinfo.json", get("/api/v2/buildinfo"));
  if (info === undefined) findings.push("The deployment does not answer.");
  for (const [name, path] of [
    ["user", "/api/v2/users/me"],
    ["ssh", "/api/v2/deployment/ssh"],
    ["experiments", "/api/v2/experiments"],
    ["appearance", "/api/v2/appearance"],
  ] as const)
    await add(`deployment/${name}.json`, get(path));
  const health = (await add("deployment/health.json", get("/api/v2/debug/health"))) as
    | Record<string, unknown>
    | undefined;
  findings.push(...healthFindings(health));
  await add("deployment/replicas.json", get("/api/v2/replicas"));
  await add("deployment/cluster.json", get("/api/v2/debug/cluster"));
  await add("network/connection.json", get("/api/v2/workspaceagents/connection"));
  await add("network/coordinator.html", get("/api/v2/debug/coordinator"));
  await add("network/tailnet.html", get("/api/v2/debug/tailnet"));
  let lines: string[] = [];
  await add("network/netcheck.json", async (limit) => {
    const probe = await probeNetwork({
      deployment,
      disableDirect: bundle.disableDirect,
      signal: limit,
      logger: bundle.logger,
    });
    const unreachable = probe.relays.filter(({ roundTripMs }) => roundTripMs === undefined);
    if (unreachable.length > 0)
      findings.push(`${unreachable.length} of ${probe.relays.length} relays cannot be reached.`);
    lines = netcheckLines(probe, localInterfaces());
    return netcheckJson(probe, localInterfaces());
  });
  if (lines.length > 0) await add("network/netcheck.txt", async () => `${lines.join("\n")}\n`);
  if (bundle.workspace !== undefined) await addWorkspace(bundle, bundle.workspace, add, get, findings);
  await add("client/log.txt", async () => bundle.ownLog());
  return { parts, summary: summaryOf(bundle, parts, findings) };
}

async function addWorkspace(
  bundle: BundleRequest,
  typed: string,
  add: Add,
  get: (path: string) => Collect,
  findings: string[],
): Promise<void> {
  // A wrong name is not a failed part: the user meant another workspace.
  await findWorkspace(bundle.deployment, parseWorkspaceName(typed), { signal: bundle.signal }).catch(
    (error: unknown) => {
      if (error instanceof ClientError && error.code === "ERR_NOT_FOUND") throw error;
    },
  );
  const connecting = connectWorkspace({
    deployment: bundle.deployment,
    name: typed,
    wait: "no",
    timeoutMs: CONNECT_TIMEOUT_MS,
    disableDirect: bundle.disableDirect,
    signal: bundle.signal,
    logger: bundle.logger,
    onStage: (text) => bundle.logger.log("info", text),
    warn: bundle.warn,
  });
  let connected: ConnectedWorkspace | undefined;
  await add("agent/connect.txt", async () => {
    connected = await connecting;
    return `connected: ${connected.connection.describePath()}\n`;
  });
  if (connected === undefined) findings.push(`No connection to workspace "${typed}": see agent/connect.txt.`);
  const [owner, workspace] = typed.includes("/") ? typed.split("/", 2) : ["me", typed];
  const name = (connected?.workspace.name ?? workspace ?? typed).split(".")[0]!;
  const path = `/api/v2/users/${encodeURIComponent(connected?.workspace.ownerName ?? owner ?? "me")}/workspace/${encodeURIComponent(name)}`;
  await addRecords(path, add, get, findings);
  if (connected !== undefined) await addAgent(connected, bundle.signal, add, findings);
}

async function addRecords(path: string, add: Add, get: (path: string) => Collect, findings: string[]): Promise<void> {
  const record = (await add("workspace/workspace.json", get(path))) as Workspace | undefined;
  const build = record?.latest_build;
  if (record === undefined || build === undefined) return;
  if (build.status !== "running") findings.push(`Workspace "${record.name}" is ${build.status}.`);
  await add("workspace/build-log.json", get(`/api/v2/workspacebuilds/${build.id}/logs`));
  await add("workspace/build-parameters.json", get(`/api/v2/workspacebuilds/${build.id}/parameters`));
  await add("workspace/template-version.json", get(`/api/v2/templateversions/${build.template_version_id}`));
  for (const agent of build.resources?.flatMap((resource) => resource.agents ?? []) ?? []) {
    if (agent.status !== "connected") findings.push(`Agent "${agent.name}" is ${agent.status}.`);
    if (/error|timeout/.test(agent.lifecycle_state)) findings.push(`Agent "${agent.name}": ${agent.lifecycle_state}.`);
    const folder = `agent/${safeName(agent.name)}`;
    await add(`${folder}/record.json`, async () => agent);
    await add(`${folder}/startup-log.json`, get(`/api/v2/workspaceagents/${agent.id}/logs`));
    await add(`${folder}/ports.json`, get(`/api/v2/workspaceagents/${agent.id}/listening-ports`));
  }
}

/** What the agent shows of itself, and how well it is reached. Closes the connection. */
async function addAgent(
  connected: ConnectedWorkspace,
  signal: AbortSignal,
  add: Add,
  findings: string[],
): Promise<void> {
  const { connection } = connected;
  try {
    const pings = await runPings({
      target: connection,
      count: 5,
      everyMs: 200,
      timeoutMs: 3_000,
      signal: AbortSignal.any([signal, AbortSignal.timeout(PART_TIMEOUT_MS)]),
      onOutcome: () => undefined,
    });
    const report = connection.pathReport();
    await add("agent/pings.json", async () => pings);
    await add("agent/path.json", async () => report);
    if (pings.every(({ ok }) => !ok)) findings.push("The agent answers no ping.");
    else if (report.path?.kind !== "direct") findings.push(`The connection is relayed (${connection.describePath()}).`);
    for (const [file, page] of [
      ["netcheck.json", "/api/v0/netcheck"],
      ["listening-ports.json", "/api/v0/listening-ports"],
      ["logs.txt", "/debug/logs"],
      ["magicsock.html", "/debug/magicsock"],
      ["manifest.json", "/debug/manifest"],
      ["metrics.txt", "/debug/prometheus"],
    ] as const)
      await add(`agent/${file}`, (limit) => pageOf(connected, page, limit));
  } finally {
    await connection.close();
  }
}

/** Parses JSON; everything else stays text. */
async function pageOf({ connection }: ConnectedWorkspace, path: string, signal: AbortSignal): Promise<unknown> {
  const { status, text } = await agentPage(connection, path, signal, MAX_PART_BYTES);
  if (status !== 200) throw new Error(`the agent answered ${path} with HTTP ${status}`);
  return parsed(text);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text; // no JSON but a page or a log
  }
}

function clientFacts(): unknown {
  return {
    version: VERSION,
    node: process.version,
    platform: process.platform,
    architecture: process.arch,
    release: release(),
    udp_carrier: describeUdpCarrier(),
    memory_bytes: totalmem(),
    time: new Date().toISOString(),
    variables: Object.keys(process.env)
      .filter((name) => /^(CODER_|HTTPS?_PROXY$|NO_PROXY$|ALL_PROXY$|SSH_|NODE_|TERM$|LANG$)/i.test(name))
      .sort(),
  };
}

function healthFindings(health: Record<string, unknown> | undefined): string[] {
  if (health === undefined) return [];
  return Object.entries(health).flatMap(([section, report]) => {
    const { healthy, error } = (report ?? {}) as { healthy?: unknown; error?: unknown };
    if (healthy !== false) return [];
    return [`The deployment's health report: ${section} is unhealthy${typeof error === "string" ? `: ${error}` : ""}.`];
  });
}

function safeName(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 64);
}

function summaryOf(bundle: BundleRequest, parts: readonly BundlePart[], findings: readonly string[]): string {
  const failed = parts.filter(({ content }) => content === undefined);
  const lines = [
    `Support bundle of coder ${VERSION}, ${new Date().toISOString()}`,
    `Deployment: ${bundle.deployment.url.origin}`,
    ...answeredByLines(bundle.deployment.answeredBy, undefined),
    ...(bundle.workspace === undefined ? [] : [`Workspace: ${bundle.workspace}`]),
    "",
    findings.length === 0 ? "Nothing looks wrong." : "What looks wrong:",
    ...findings.map((finding) => `  - ${finding}`),
    "",
    `Parts: ${parts.length - failed.length} of ${parts.length}`,
    ...parts.map(({ name, error }) => (error === undefined ? `  ${name}` : `  ${name}: not there, ${error}`)),
    "",
    "Tokens, passwords, cookies and private keys are replaced by [redacted]. Names, addresses and logs are not: look",
    "through the files before you send them.",
    "",
  ];
  return bundle.redactor.text(lines.join("\n"));
}

/** A zip file that starts with the summary. */
export function zipBundle({ parts, summary }: Bundle): Uint8Array {
  const files: Record<string, Uint8Array> = { "summary.txt": strToU8(summary) };
  for (const { name, content, error } of parts) {
    if (content !== undefined) files[name] = strToU8(content);
    else files[`${name}.error.txt`] = strToU8(`${error}\n`);
  }
  return zipSync(files, { level: 6 });
}
