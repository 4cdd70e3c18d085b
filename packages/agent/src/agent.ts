/** One workspace's agent: the control session, the tunnel, and the services inside it. Owns all their lifetimes. */

import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { TailnetNode } from "coder-client/node/tailnet-node";
import { Deployment } from "coder-client/rest/deployment";
import { agentAddresses, nodeIdOfUuid, uuidFromBytes } from "coder-protocol/addresses";
import { safetyNumber } from "coder-protocol/agent-identity";
import type { Manifest } from "coder-protocol/gen/agent_pb.js";
import { derpMapFromProto } from "coder-protocol/tailnet/derp-map";
import { aborted } from "wg-userspace/async/abort";
import { monotonicNow } from "wg-userspace/io/host/clock";
import type { AgentOptions } from "./agent-options.ts";
import { AppDeclarations } from "./control/app-declarations.ts";
import { ControlSession } from "./control/control-session.ts";
import { type PeerOnPath, StatsCollector, type StatsSources } from "./control/stats.ts";
import { WorkspaceScripts } from "./control/workspace-scripts.ts";
import { RecentLog } from "./debug/recent-log.ts";
import { DebugServers } from "./debug/servers.ts";
import { manifestView, metricsText, networkView } from "./debug/views.ts";
import { AgentIdentity } from "./host/identity.ts";
import { IdleMemory } from "./host/idle-memory.ts";
import { readMotd } from "./host/motd.ts";
import { sessionEnvironment } from "./host/session-environment.ts";
import { homeDirectory, resolveUser } from "./host/user.ts";
import { makeScriptDirectories, type ScriptDirectories, scriptVariables } from "./scripts/script-directories.ts";
import type { DebugSources, ProvenIdentity } from "./services/http-api.ts";
import { deriveHostKey } from "./services/ssh/host-key.ts";
import type { SshServiceOptions } from "./services/ssh/ssh-service.ts";
import { TunnelServices } from "./services/tunnel-services.ts";

const STOP_GRACE_MS = 5_000;
const MAX_CLIENTS = 1024;
/** A client counts as reachable if it was heard this recently: WireGuard's own limit for a session. */
const REACHABLE_MS = 180_000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #log: RecentLog;
  readonly #control: ControlSession;
  readonly #scripts: WorkspaceScripts;
  readonly #apps: AppDeclarations;
  readonly #memory = new IdleMemory();
  #scriptDirectories: ScriptDirectories | undefined;
  #manifest: Manifest | undefined;
  #banners: readonly string[] = [];
  #node: TailnetNode | undefined;
  #services: TunnelServices | undefined;

  constructor(given: AgentOptions) {
    this.#log = new RecentLog(given.logger);
    const options = { ...given, logger: this.#log };
    this.#options = options;
    const stats = new StatsCollector({
      connections: () => this.#connections(),
      traffic: () => this.#traffic(),
      peers: () => this.#peersOnPaths(),
      sessions: () => this.#sessions(),
    });
    const deployment = new Deployment({
      url: options.url,
      token: options.token,
      dialer: options.dialer,
      extraHeaders: options.extraHeaders,
    });
    this.#scripts = new WorkspaceScripts({
      user: resolveUser,
      environment: () => this.#environment(),
      logDirectory: options.logDirectory ?? tmpdir(),
      logger: options.logger,
      onLifecycle: (state) => this.#control.setLifecycle(state),
    });
    this.#apps = new AppDeclarations({
      deployment,
      given: options.apps ?? [],
      file: options.appsFile,
      logger: options.logger,
      onDeclared: () => this.#scripts.refreshApps(),
    });
    this.#control = new ControlSession({
      deployment,
      token: options.token,
      version: options.version,
      logger: options.logger,
      expandDirectory,
      takeStats: () => {
        const report = stats.take();
        // The process is awake for the report anyway.
        this.#memory.note(Object.values(this.#sessions()).reduce((sum, count) => sum + count, 0));
        return report;
      },
      reports: this.#scripts.reports,
      onBanners: (banners) => {
        this.#banners = banners;
      },
      onManifest: (manifest) => this.#configure(deployment, manifest),
    });
  }

  /**
   * Runs until aborted, then ends sessions and disconnects. Rejects when the control plane refuses the agent for good.
   */
  async run(signal: AbortSignal): Promise<void> {
    const debug = await DebugServers.open(this.#options, this.#debugSources());
    const stopControl = new AbortController();
    const running = this.#control.run(stopControl.signal);
    const declaring = this.#apps.run(stopControl.signal);
    try {
      await Promise.race([running, aborted(signal)]);
      this.#options.logger.log("info", "shutting down");
      await this.#scripts.stop(async () => this.#services?.closeSessions(STOP_GRACE_MS));
      await this.#control.leave(STOP_GRACE_MS);
    } finally {
      stopControl.abort();
      await declaring;
      debug.close();
      await this.#scripts.abandon();
      await this.#services?.close();
      await this.#node?.close();
    }
  }

  /** The first manifest builds the network and its services; later ones update what can change. */
  async #configure(deployment: Deployment, manifest: Manifest): Promise<TailnetNode> {
    this.#manifest = manifest;
    const node = this.#node ?? (await this.#start(deployment, manifest));
    if (manifest.derpMap !== undefined) {
      const parsed = derpMapFromProto(manifest.derpMap);
      if ("error" in parsed) throw new Error(`the control plane's relay map cannot be used: ${parsed.error}`);
      node.setDerpMap(parsed.map);
    }
    this.#scripts.update(manifest);
    return node;
  }

  async #start(deployment: Deployment, manifest: Manifest): Promise<TailnetNode> {
    const { logger } = this.#options;
    const id = uuidFromBytes(manifest.agentId);
    if (id === undefined) throw new Error("the control plane's manifest has no agent id");
    const node = await TailnetNode.open({
      deployment,
      addresses: agentAddresses(id),
      nodeId: nodeIdOfUuid(id),
      forceWebSocket: manifest.derpForceWebsockets,
      maxPeers: MAX_CLIENTS,
      isDestination: () => false,
      logger,
      udpPort: this.#options.listenPort,
      goneAfterMs: this.#options.goneAfterMs,
      directBlocked: manifest.disableDirectConnections ? "deployment" : undefined,
    });
    this.#node = node;
    if (manifest.scripts.length > 0) this.#scriptDirectories = makeScriptDirectories(tmpdir(), id, logger);
    this.#services = new TunnelServices({
      node,
      ssh: this.#sshOptions(manifest),
      debug: this.#debugSources(),
      identity: this.#identityAt(node),
      logger,
      userTimeoutMs: this.#options.sshMaxTimeoutMs,
    });
    return node;
  }

  /** Without one, clients that keep identities ask a person whenever this agent has restarted. */
  #identityAt(node: TailnetNode): ProvenIdentity | undefined {
    const { identityFile: file, logger } = this.#options;
    if (file === undefined) return undefined;
    try {
      const identity = AgentIdentity.open(file);
      const { publicKey } = identity;
      logger.log("info", "the identity of this machine", { number: safetyNumber(publicKey), file });
      const { publicKey: nodeKey } = node.driver.engine;
      return { publicKey, nodeKey, prove: (challenge) => identity.sign(challenge, nodeKey) };
    } catch (error) {
      logger.log("warn", "no lasting identity: its file can be neither read nor made", { file, error: String(error) });
      return undefined;
    }
  }

  #sshOptions(manifest: Manifest): SshServiceOptions {
    const { logger } = this.#options;
    return {
      hostKey: deriveHostKey({
        owner: manifest.ownerUsername,
        workspace: manifest.workspaceName,
        agent: manifest.agentName,
      }),
      environment: () => this.#environment(),
      directory: () => (this.#manifest?.directory ? expandDirectory(this.#manifest.directory) : undefined),
      banners: () => this.#banners,
      motd: (answers) => readMotd(this.#manifest?.motdPath ?? "", resolveUser().home, logger, answers),
      user: resolveUser,
      logger,
      blockFileTransfer: this.#options.blockFileTransfer,
      maxTimeoutMs: this.#options.sshMaxTimeoutMs,
      onClient: (address, type) => this.#scripts.reports.connections.opened(address, type),
    };
  }

  #environment(): Record<string, string> {
    return scriptVariables(this.#scriptDirectories, sessionEnvironment(this.#manifest!, this.#options));
  }

  #debugSources(): DebugSources {
    return {
      logs: () => this.#log.text(),
      magicsock: () => (this.#node === undefined ? null : networkView(this.#node)),
      manifest: () => manifestView(this.#manifest),
      prometheus: () =>
        metricsText({
          connections: this.#connections(),
          sessions: this.#sessions(),
          traffic: this.#traffic(),
          peers: this.#peersOnPaths(),
        }),
    };
  }

  #connections(): { readonly tcp: number; readonly udp: number } {
    return this.#services?.relayed ?? { tcp: 0, udp: 0 };
  }

  #sessions(): Required<ReturnType<StatsSources["sessions"]>> {
    return this.#services?.sessions ?? { ssh: 0, vscode: 0, jetbrains: 0, terminals: 0 };
  }

  #traffic(): { rxBytes: number; txBytes: number } {
    let rxBytes = 0;
    let txBytes = 0;
    for (const peer of this.#node?.driver.engine.peers() ?? []) {
      rxBytes += peer.rxBytes;
      txBytes += peer.txBytes;
    }
    return { rxBytes, txBytes };
  }

  #peersOnPaths(): PeerOnPath[] {
    const now = monotonicNow();
    return (this.#node?.driver.engine.peers() ?? []).flatMap((peer): PeerOnPath[] => {
      const { path, lastReceivedAt, endpoint } = peer;
      if (path === undefined || lastReceivedAt === undefined || now - lastReceivedAt > REACHABLE_MS) return [];
      if (path.kind === "relay") return [{ path: "relayed" }];
      const rttMs = endpoint.finder?.best?.rttMs;
      return [{ path: "direct", rttMs }];
    });
  }
}

/** `~` and relative directories are resolved against the home directory. */
function expandDirectory(directory: string): string {
  if (directory === "" || directory === "~") return homeDirectory();
  if (directory.startsWith("~/")) return join(homeDirectory(), directory.slice(2));
  return isAbsolute(directory) ? directory : join(homeDirectory(), directory);
}
