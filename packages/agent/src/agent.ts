/** One workspace's agent: the control session, the tunnel, and the services inside it. Owns all their lifetimes. */
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { TailnetNode } from "coder-client/node/tailnet-node";
import { Deployment } from "coder-client/rest/deployment";
import { agentAddresses, nodeIdOfUuid, uuidFromBytes } from "coder-protocol/addresses";
import type { Manifest } from "coder-protocol/gen/agent_pb.js";
import { derpMapFromProto } from "coder-protocol/tailnet/derp-map";
import { type AddrPort, formatIp } from "wg-userspace/base/ip";
import { parseDerpMap } from "wg-userspace/derp/map";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { setTunnelUdpFallback, type TunnelUdpFallback } from "wg-userspace/io/sockets/udp-tunnel-socket";
import type { TcpOptions } from "wg-userspace/netstack/stack";
import type { AgentOptions } from "./agent-options.ts";
import { ControlSession } from "./control-session.ts";
import { manifestView, metricsText, networkView } from "./debug-views.ts";
import { peerView } from "./peer-view.ts";
import { RecentLog } from "./recent-log.ts";
import { DebugServers } from "./services/debug-servers.ts";
import { type DebugSources, HttpApi } from "./services/http-api.ts";
import { readMotd } from "./services/motd.ts";
import { PeerShares } from "./services/peer-shares.ts";
import { PortRelay } from "./services/port-relay.ts";
import { makeScriptDirectories, type ScriptDirectories, scriptVariables } from "./services/script-directories.ts";
import { SpeedtestService } from "./services/speedtest.ts";
import { deriveHostKey } from "./services/ssh/host-key.ts";
import { SshService } from "./services/ssh/ssh-service.ts";
import { homeDirectory, resolveUser } from "./services/ssh/user.ts";
import { TerminalService } from "./services/terminal/terminal-service.ts";
import { UdpRelay } from "./services/udp-relay.ts";
import { sessionEnvironment } from "./session-environment.ts";
import { type PeerOnPath, StatsCollector } from "./stats.ts";
import { WorkspaceScripts } from "./workspace-scripts.ts";

/** SSH: port 1 for the CLI, 22 for programs that dial the workspace's address themselves. */
const SSH_PORTS = [1, 22] as const;
const TERMINAL_PORT = 2;
const SPEEDTEST_PORT = 3;
const HTTP_API_PORT = 4;
/** Reserved for services inside the tunnel: never relayed to the host. */
const RESERVED_PORTS_END = 8;
/** Connections of each service, and one client's share: nobody shuts the others out. */
const SSH_CONNECTIONS = { total: 512, perPeer: 128 };
const TERMINAL_VIEWERS = { total: 512, perPeer: 128 };
const SPEEDTESTS = { total: 32, perPeer: 2 };
const STOP_GRACE_MS = 5_000;
const MAX_CLIENTS = 1024;
/** A client heard this recently counts as reachable: WireGuard's own limit for a session. */
const REACHABLE_MS = 180_000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #log: RecentLog;
  readonly #control: ControlSession;
  readonly #scripts: WorkspaceScripts;
  #scriptDirectories: ScriptDirectories | undefined;
  #manifest: Manifest | undefined;
  #banners: readonly string[] = [];
  #node: TailnetNode | undefined;
  #ssh: SshService | undefined;
  #terminals: TerminalService | undefined;
  #relay: PortRelay | undefined;
  #udpRelay: UdpRelay | undefined;

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
      ...(options.dialer === undefined ? {} : { dialer: options.dialer }),
      ...(options.extraHeaders === undefined ? {} : { extraHeaders: options.extraHeaders }),
    });
    this.#scripts = new WorkspaceScripts({
      user: resolveUser,
      environment: () => this.#environment(),
      logDirectory: options.logDirectory ?? tmpdir(),
      logger: options.logger,
      onLifecycle: (state) => this.#control.setLifecycle(state),
    });
    this.#control = new ControlSession({
      deployment,
      token: options.token,
      version: options.version,
      logger: options.logger,
      expandDirectory,
      takeStats: () => stats.take(),
      reports: this.#scripts.reports,
      onBanners: (banners) => {
        this.#banners = banners;
      },
      onManifest: (manifest) => this.#configure(deployment, manifest),
    });
  }

  /** Runs until aborted, then ends sessions and says goodbye. Rejects when the control plane refuses the agent for good. */
  async run(signal: AbortSignal): Promise<void> {
    const debug = await DebugServers.open(this.#options, this.#debugSources());
    const stopControl = new AbortController();
    const running = this.#control.run(stopControl.signal);
    const stopped = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    try {
      await Promise.race([running, stopped]);
      this.#options.logger.log("info", "shutting down");
      await this.#scripts.stop(() =>
        Promise.all([this.#ssh?.close({ graceMs: STOP_GRACE_MS }), this.#terminals?.close({ graceMs: STOP_GRACE_MS })]),
      );
      await this.#control.leave(STOP_GRACE_MS);
    } finally {
      stopControl.abort();
      debug.close();
      await this.#scripts.abandon();
      this.#relay?.close();
      this.#udpRelay?.close();
      await this.#ssh?.close({ graceMs: 0 });
      await this.#terminals?.close({ graceMs: 0 });
      await this.#node?.close();
    }
  }

  /** The first manifest builds the network and its services; later ones update what may change. */
  async #configure(deployment: Deployment, manifest: Manifest): Promise<TailnetNode> {
    this.#manifest = manifest;
    const node = this.#node ?? (await this.#start(deployment, manifest));
    if (manifest.derpMap !== undefined) {
      const parsed = parseDerpMap(derpMapFromProto(manifest.derpMap));
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
      ...(this.#options.listenPort === undefined ? {} : { udpPort: this.#options.listenPort }),
      ...(this.#options.goneAfterMs === undefined ? {} : { goneAfterMs: this.#options.goneAfterMs }),
      ...(manifest.disableDirectConnections ? { directBlocked: "deployment" } : {}),
    });
    this.#node = node;
    if (manifest.scripts.length > 0) this.#scriptDirectories = makeScriptDirectories(tmpdir(), id, logger);
    const environment = () => this.#environment();
    const directory = () => (this.#manifest?.directory ? expandDirectory(this.#manifest.directory) : undefined);
    this.#terminals = new TerminalService({ environment, directory, user: resolveUser, logger });
    this.#ssh = new SshService({
      hostKey: deriveHostKey({
        owner: manifest.ownerUsername,
        workspace: manifest.workspaceName,
        agent: manifest.agentName,
      }),
      environment,
      directory,
      banners: () => this.#banners,
      motd: () => readMotd(this.#manifest?.motdPath ?? "", resolveUser().home, logger),
      user: resolveUser,
      logger,
      blockFileTransfer: this.#options.blockFileTransfer,
      maxTimeoutMs: this.#options.sshMaxTimeoutMs,
      onClient: (address, type) => this.#scripts.reports.connections.opened(address, type),
    });
    this.#relay = new PortRelay(node.driver, logger);
    this.#serve(node, this.#ssh, this.#terminals, this.#relay);
    this.#udpRelay = this.#relayUdp(node);
    return node;
  }

  #serve(node: TailnetNode, ssh: SshService, terminals: TerminalService, relay: PortRelay): void {
    const options: TcpOptions = { userTimeoutMs: this.#options.sshMaxTimeoutMs };
    const sshShares = new PeerShares(SSH_CONNECTIONS);
    const terminalShares = new PeerShares(TERMINAL_VIEWERS);
    for (const port of SSH_PORTS) {
      node.driver.listenTcp(
        port,
        (stream) => {
          if (!sshShares.admit(stream, formatIp(stream.remote.address))) return;
          ssh.handleConnection(stream, endpointOf(stream.remote), endpointOf(stream.local));
        },
        options,
      );
    }
    node.driver.listenTcp(
      TERMINAL_PORT,
      (stream) => {
        if (!terminalShares.admit(stream, formatIp(stream.remote.address))) return;
        terminals.handleConnection(stream, { remote: endpointOf(stream.remote), local: endpointOf(stream.local) });
      },
      options,
    );
    const speedtest = new SpeedtestService({ logger: this.#options.logger });
    const speedtestShares = new PeerShares(SPEEDTESTS);
    node.driver.listenTcp(SPEEDTEST_PORT, (stream) => {
      if (speedtestShares.admit(stream, formatIp(stream.remote.address))) speedtest.handleConnection(stream);
    });
    const api = new HttpApi({
      netcheck: (signal) => node.checkNetwork(signal),
      peerView: (address) => peerView(node, address),
      logger: this.#options.logger,
      debug: this.#debugSources(),
    });
    node.driver.listenTcp(HTTP_API_PORT, (stream) => api.handleConnection(stream, formatIp(stream.remote.address)));
    node.driver.setTcpFallback((request) => {
      if (request.local.port <= RESERVED_PORTS_END) node.driver.reject(request);
      else relay.handleRequest(request);
    });
  }

  #relayUdp(node: TailnetNode): UdpRelay {
    const relay: UdpRelay = new UdpRelay(
      {
        send: (payload, from, to) => tunnel.send(payload, from, to),
        refuse: (local, remote, payloadLength) => tunnel.refuse(local, remote, payloadLength),
      },
      this.#options.logger,
    );
    const tunnel: TunnelUdpFallback = setTunnelUdpFallback(node.driver, {
      onDatagram: (datagram) => {
        if (datagram.local.port <= RESERVED_PORTS_END) return false;
        relay.handleDatagram(datagram);
        return true;
      },
      onUnreachable: (local, remote) => relay.handleUnreachable(local, remote),
    });
    return relay;
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

  #connections(): { tcp: number; udp: number } {
    return { tcp: this.#relay?.openConnections ?? 0, udp: this.#udpRelay?.openFlows ?? 0 };
  }

  #sessions(): { ssh: number; vscode: number; jetbrains: number; terminals: number } {
    const ssh = this.#ssh?.counts ?? { ssh: 0, vscode: 0, jetbrains: 0 };
    return { ...ssh, terminals: this.#terminals?.viewers ?? 0 };
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
      return [{ path: "direct", ...(rttMs === undefined ? {} : { rttMs }) }];
    });
  }
}

function endpointOf(at: AddrPort): { address: string; port: number } {
  return { address: formatIp(at.address), port: at.port };
}

/** `~` and relative directories are meant from the home directory. */
function expandDirectory(directory: string): string {
  if (directory === "" || directory === "~") return homeDirectory();
  if (directory.startsWith("~/")) return join(homeDirectory(), directory.slice(2));
  return isAbsolute(directory) ? directory : join(homeDirectory(), directory);
}
