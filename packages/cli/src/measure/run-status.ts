/** The work of `coder status`. */
import { sleep } from "coder-client/base/backoff";
import { displayWidth } from "../base/text.ts";
import type { ConnectRequest } from "../connection/connect.ts";
import { openConnections } from "../connection/open-connections.ts";
import { openWatched } from "../connection/watched-connection.ts";
import { connectionsTable, type View, workspaceStatus } from "../diagnosis/status-text.ts";
import { EXIT } from "../errors/user-error.ts";
import type { DeploymentOptions } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { LiveScreen, type WhenEndedAtOnce } from "../ui/live-screen.ts";
import { ownJson } from "../ui/own-json.ts";
import { pingOnce } from "./ping.ts";

const EVERY_MS = 1_000;
/** When the status is printed only once, the search for paths first gets this long. */
const SETTLE_MS = 3_000;

export interface StatusOptions {
  readonly configDir: string;
  readonly json: boolean;
  readonly whenEndedAtOnce: WhenEndedAtOnce;
}

export interface WorkspaceStatusOptions extends Omit<StatusOptions, "configDir"> {
  readonly deployment: DeploymentOptions;
  readonly connect: Pick<ConnectRequest, "name" | "wait" | "timeoutMs" | "disableDirect" | "region">;
  readonly verbose: boolean;
}

/** The connections of this machine. */
export async function showConnections(
  { configDir, json, whenEndedAtOnce }: StatusOptions,
  display: Display,
  signal: AbortSignal,
): Promise<number> {
  const table = (): string => connectionsTable(openConnections(configDir), Date.now(), viewOf(display));
  if (json) display.print(`${ownJson(openConnections(configDir), 2)}\n`);
  else if (display.live)
    await watch("Connections of this machine", { display, signal, whenEndedAtOnce, render: table });
  else display.print(table());
  return EXIT.ok;
}

/** Every path to one workspace. */
export async function showPaths(
  { json, whenEndedAtOnce, ...request }: WorkspaceStatusOptions,
  display: Display,
  cancel: AbortSignal,
): Promise<number> {
  const { connect, ...rest } = request;
  await using watched = await openWatched({ ...rest, ...connect }, display, cancel);
  const { connection, workspace, signal } = watched;
  const table = (): string => workspaceStatus(connection.pathReport(), viewOf(display));
  if (!json && display.live) {
    const render = (): string => {
      // Only paths in use are watched, so pings keep this one in use.
      void pingOnce(connection, EVERY_MS, signal);
      return table();
    };
    await watch(`Paths to ${workspace.ownerName}/${workspace.name}`, { display, signal, whenEndedAtOnce, render });
    watched.throwIfOver();
    return EXIT.ok;
  }
  await pingOnce(connection, SETTLE_MS, signal);
  await sleep(SETTLE_MS, signal);
  display.print(json ? `${ownJson(connection.pathReport(), 2)}\n` : table());
  return EXIT.ok;
}

interface Watch {
  readonly display: Display;
  readonly signal: AbortSignal;
  readonly whenEndedAtOnce: WhenEndedAtOnce;
  readonly render: () => string;
}

async function watch(title: string, { display, signal, whenEndedAtOnce, render }: Watch): Promise<void> {
  using screen = new LiveScreen(process.stdout, whenEndedAtOnce);
  while (!signal.aborted) {
    const { columns, paint } = viewOf(display);
    const now = new Date().toLocaleTimeString("en-GB");
    const hint = `${now}, Ctrl-C to quit`;
    const gap = columns - displayWidth(title) - displayWidth(hint);
    const head = gap < 2 ? [title, paint.faint(hint)] : [paint.keyword(title) + " ".repeat(gap) + paint.faint(hint)];
    screen.draw([...head, "", render()].join("\n"));
    await sleep(EVERY_MS, signal).catch(() => undefined); // Ctrl-C is the ordinary end
  }
}

/** A pipe has no width, so every column fits. */
function viewOf({ paint }: Display): View {
  return { columns: process.stdout.columns ?? Number.POSITIVE_INFINITY, paint };
}
