/** The work of `coder open terminal --local`. */
import type { Deployment } from "coder-client/rest/deployment";
import { parseWorkspaceName } from "coder-protocol/names";
import { userAppearance } from "coder-protocol/rest/profile";
import { type User, user as userSchema } from "coder-protocol/rest/users";
import { createLogger as createServerLogger, type Logger } from "coder-server/base/log";
import { type BuildOutput, readBuildOutput } from "coder-server/http/dashboard/build-output";
import type { LocalPage } from "coder-server/http/dashboard/page";
import { dashboardRoute } from "coder-server/http/dashboard/route";
import { AgentFiles } from "coder-server/tunnels/agent-files";
import { AgentHttp } from "coder-server/tunnels/agent-http";
import { aborted } from "wg-userspace/async/abort";
import { dashboardFiles } from "../base/dashboard-files.ts";
import { VERSION } from "../base/version.ts";
import { type ConnectRequest, connectWorkspace } from "../connection/connect.ts";
import { LastingConnection } from "../connection/lasting-connection.ts";
import { UserError } from "../errors/user-error.ts";
import { openAddress } from "../open/open-editor.ts";
import { type DeploymentOptions, openDeployment } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { createLogger } from "../ui/logger.ts";
import { handOver } from "./hand-over.ts";
import { LocalTerminals } from "./local-terminals.ts";
import { ABSENCE_MS, PagePresence } from "./page-presence.ts";
import { PageServer } from "./page-server.ts";
import { TunnelLink } from "./tunnel-link.ts";
import { type ServedWorkspace, WorkspaceApi } from "./workspace-api.ts";

export interface LocalTerminalOptions {
  readonly deployment: DeploymentOptions;
  readonly connect: Pick<
    ConnectRequest,
    "name" | "wait" | "timeoutMs" | "disableDirect" | "region" | "autostart" | "telemetry"
  >;
  readonly verbose: boolean;
  /** Whether to open the address in a browser, besides printing it. */
  readonly opens: boolean;
}

/** A page waits 25 s for its terminal. */
const CONNECTION_WAIT_MS = 20_000;

/** Runs until the signal ends it, or until no page was there for a while. */
export async function runLocalTerminal(
  options: LocalTerminalOptions,
  display: Display,
  signal: AbortSignal,
): Promise<void> {
  const { stages, say } = display;
  const { connect: request, verbose } = options;
  const output = builtPages();
  const deployment = openDeployment(options.deployment);
  const logger = createLogger({ verbose, logDir: undefined });
  const connect = (timeoutMs: number, until: AbortSignal) =>
    connectWorkspace({
      ...request,
      timeoutMs,
      deployment,
      signal: until,
      logger,
      onStage: (text) => stages.set(text),
      warn: say,
    }).finally(() => stages.clear());
  const account = await accountOf(deployment, signal);
  const first = await connect(request.timeoutMs, signal);
  const link = new TunnelLink({ first, configDir: options.deployment.configDir, say, logger });
  const lasting = new LastingConnection({
    first,
    agentName: parseWorkspaceName(request.name).agent,
    deployment,
    connect: (until) => link.connected(connect(0, until)),
    onEvent: (event) => link.changed(event),
    logger,
  });
  const { workspace, agent } = first;
  const served = { ...account, workspace, agentName: agent.name, output, deployment, lasting, link };
  try {
    await serve(served, options, display, signal);
  } finally {
    link.close();
    await lasting.close();
    if (signal.aborted) say("The page of the terminal ended; programs in it run on in the workspace");
  }
}

interface Served {
  readonly user: User;
  readonly appearance: LocalPage["appearance"];
  readonly workspace: ServedWorkspace;
  readonly agentName: string;
  readonly output: BuildOutput;
  readonly deployment: Deployment;
  readonly lasting: LastingConnection;
  readonly link: TunnelLink;
}

/** Rejects when the right to the workspace has ended. */
async function serve(
  served: Served,
  options: LocalTerminalOptions,
  display: Display,
  signal: AbortSignal,
): Promise<void> {
  const { lasting, link, user, workspace, deployment } = served;
  const sink = options.verbose ? process.stderr : { write: () => undefined };
  const log = createServerLogger({ sink, level: "debug", format: "human" });
  const tunnels = {
    acquire: async () => ({
      connection: await lasting.connection(AbortSignal.timeout(CONNECTION_WAIT_MS)),
      release: () => undefined, // the command holds it
    }),
  };
  const agentHttp = new AgentHttp(tunnels, log);
  const agentId = (): string => link.agentId;
  const terminals = new LocalTerminals({ tunnels, agentHttp, user, agentId, log });
  const connection = () => lasting.current;
  const files = new AgentFiles(tunnels);
  const presence = new PagePresence();
  try {
    await using server = await PageServer.start({
      page: `/@${workspace.ownerName}/${workspace.name}.${served.agentName}/terminal`,
      dashboard: pages(served, log),
      api: new WorkspaceApi({ workspace, user, deployment, agentId, connection, agentHttp, files, log }),
      openTerminal: (...upgrade) => terminals.open(...upgrade),
      presence,
    });
    const shown = show(server.entrance.address, options, display);
    try {
      await Promise.race([aborted(signal), presence.absent, lasting.failed]);
      if (!signal.aborted)
        display.say(`No page of this terminal was open for ${ABSENCE_MS / 60_000} minutes, so it ends`);
    } catch (error) {
      terminals.endAccess("access ended");
      throw error;
    } finally {
      shown.remove();
      terminals.close();
    }
  } finally {
    presence.stop();
  }
}

/** The pages as the server has them; of these, only the terminal's is asked for. */
function pages({ output, user, appearance, workspace, deployment }: Served, log: Logger) {
  const local = {
    deployment: deployment.url.origin,
    workspace: `${workspace.ownerName}/${workspace.name}`,
    appearance,
  };
  return dashboardRoute({
    output,
    boot: async () => ({ user, ready: true, version: VERSION, local }),
    isSecure: () => false,
    connectOrigins: () => [],
    relaySockets: () => [],
    logReport: (report) => log.warn({ report }, "the browser refused something on the page"),
  });
}

function builtPages(): BuildOutput {
  const output = readBuildOutput(dashboardFiles());
  if (output !== undefined) return output;
  throw new UserError("This copy of the command was built without the web pages", {
    next: ["coder ssh", "coder open terminal without --local opens the deployment's page"],
    code: "ERR_NO_PAGES",
  });
}

/** The user as the page shows them, and their choices. */
async function accountOf(deployment: Deployment, signal: AbortSignal): Promise<Pick<Served, "user" | "appearance">> {
  const user = userSchema.parse(await deployment.call("/api/v2/users/me", { signal }));
  const { status, body } = await deployment.send("/api/v2/users/me/appearance", { signal });
  // Older deployments keep no such choices.
  const appearance = status === 200 ? userAppearance.safeParse(body).data : undefined;
  return { user, appearance: appearance ?? null };
}

/** Prints the address, and opens it where there is someone to see the browser. */
function show(
  address: string,
  { deployment, opens }: LocalTerminalOptions,
  { say, print }: Display,
): { remove(): void } {
  say("The terminal is at this address, which works once and on this machine only; Ctrl-C ends it:");
  print(`${address}\n`);
  if (!opens) return { remove: () => undefined };
  const given = handOver(address, deployment.configDir);
  openAddress(given.opens).catch(() => say("No program here can open addresses; open this one in a browser"));
  return given;
}
