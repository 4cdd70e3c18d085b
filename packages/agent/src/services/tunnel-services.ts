/** Everything in the agent that listens inside the tunnel, by port. Nothing here listens on a host interface. */
import type { TailnetNode } from "coder-client/node/tailnet-node";
import {
  HTTP_API_PORT,
  RESERVED_PORTS_END,
  SPEEDTEST_PORT,
  SSH_PORT,
  STANDARD_SSH_PORT,
  TERMINAL_PORT,
} from "coder-protocol/tunnel-ports";
import { type AddrPort, formatIp } from "wg-userspace/base/ip";
import type { Logger } from "wg-userspace/base/ports";
import type { TcpStream } from "wg-userspace/io/sockets/tcp-stream";
import {
  acceptTunnelTcp,
  listenTunnelTcp,
  rejectTunnelTcp,
  setTunnelTcpFallback,
} from "wg-userspace/io/sockets/tcp-tunnel";
import { setTunnelUdpFallback, type TunnelUdpFallback } from "wg-userspace/io/sockets/udp-tunnel-socket";
import type { TcpOptions } from "wg-userspace/netstack/stack";
import { type DebugSources, HttpApi, type ProvenIdentity } from "./http-api.ts";
import { type PeerShareLimits, PeerShares } from "./peer-shares.ts";
import { peerView } from "./peer-view.ts";
import { PortRelay, type PortRelayTunnel } from "./port-relay.ts";
import { SpeedtestService } from "./speedtest.ts";
import { SshService, type SshServiceOptions } from "./ssh/ssh-service.ts";
import { TerminalService } from "./terminal/terminal-service.ts";
import { UdpRelay } from "./udp-relay.ts";

const SSH_PORTS = [SSH_PORT, STANDARD_SSH_PORT] as const;
/** Connections of each service, in total and per client, so that one client cannot exhaust a service. */
const SSH_CONNECTIONS: PeerShareLimits = { total: 512, perPeer: 128 };
const TERMINAL_VIEWERS: PeerShareLimits = { total: 512, perPeer: 128 };
const SPEEDTESTS: PeerShareLimits = { total: 32, perPeer: 2 };

export interface TunnelServicesOptions {
  readonly node: TailnetNode;
  readonly ssh: SshServiceOptions;
  readonly debug: DebugSources;
  readonly identity: ProvenIdentity | undefined;
  readonly logger: Logger;
  /** How long an SSH or terminal connection outlives a client that does not answer, in ms. */
  readonly userTimeoutMs: number;
}

/** The services of one tunnel node; they listen from construction until {@link close}. */
export class TunnelServices {
  readonly #node: TailnetNode;
  readonly #ssh: SshService;
  readonly #terminals: TerminalService;
  readonly #relay: PortRelay;
  readonly #udpRelay: UdpRelay;

  constructor({ node, ssh, debug, identity, logger, userTimeoutMs }: TunnelServicesOptions) {
    const { environment, directory, user } = ssh;
    this.#node = node;
    this.#ssh = new SshService(ssh);
    this.#terminals = new TerminalService({ environment, directory, user, logger });
    this.#relay = new PortRelay(tunnelOf(node), logger);
    this.#udpRelay = this.#relayUdp(logger);
    this.#listenForShells({ userTimeoutMs });
    const speedtest = new SpeedtestService({ logger });
    this.#listen(SPEEDTEST_PORT, SPEEDTESTS, (stream) => speedtest.handleConnection(stream));
    const api = new HttpApi({
      netcheck: (signal) => node.checkNetwork(signal),
      peerView: (address) => peerView(node, address),
      terminals: this.#terminals,
      logger,
      debug,
      identity,
    });
    listenTunnelTcp(node.driver, HTTP_API_PORT, (stream) =>
      api.handleConnection(stream, formatIp(stream.remote.address)),
    );
    setTunnelTcpFallback(node.driver, (request) => {
      if (request.local.port <= RESERVED_PORTS_END) rejectTunnelTcp(node.driver, request);
      else this.#relay.handleRequest(request);
    });
  }

  /** TCP connections and UDP flows that are being relayed to programs in the workspace. */
  get relayed(): { readonly tcp: number; readonly udp: number } {
    return { tcp: this.#relay.openConnections, udp: this.#udpRelay.openFlows };
  }

  get sessions(): {
    readonly ssh: number;
    readonly vscode: number;
    readonly jetbrains: number;
    readonly terminals: number;
  } {
    return { ...this.#ssh.counts, terminals: this.#terminals.viewers };
  }

  /** Ends SSH sessions and terminals; programs have `graceMs` to end. Relayed connections stay. */
  async closeSessions(graceMs: number): Promise<void> {
    await Promise.all([this.#ssh.close({ graceMs }), this.#terminals.close({ graceMs })]);
  }

  async close(): Promise<void> {
    this.#relay.close();
    this.#udpRelay.close();
    await this.closeSessions(0);
  }

  #listenForShells(options: TcpOptions): void {
    const shares = new PeerShares(SSH_CONNECTIONS);
    for (const port of SSH_PORTS) {
      this.#listen(
        port,
        shares,
        (stream) => this.#ssh.handleConnection(stream, endpointOf(stream.remote), endpointOf(stream.local)),
        options,
      );
    }
    this.#listen(
      TERMINAL_PORT,
      TERMINAL_VIEWERS,
      (stream) =>
        this.#terminals.handleConnection(stream, {
          remote: endpointOf(stream.remote),
          local: endpointOf(stream.local),
        }),
      options,
    );
  }

  #listen(
    port: number,
    shares: PeerShares | PeerShareLimits,
    onConnection: (stream: TcpStream) => void,
    options?: TcpOptions,
  ): void {
    const admission = shares instanceof PeerShares ? shares : new PeerShares(shares);
    listenTunnelTcp(
      this.#node.driver,
      port,
      (stream) => {
        if (admission.admit(stream, formatIp(stream.remote.address))) onConnection(stream);
      },
      options,
    );
  }

  #relayUdp(logger: Logger): UdpRelay {
    const relay: UdpRelay = new UdpRelay(
      {
        send: (payload, from, to) => tunnel.send(payload, from, to),
        refuse: (local, remote, payloadLength) => tunnel.refuse(local, remote, payloadLength),
      },
      logger,
    );
    const tunnel: TunnelUdpFallback = setTunnelUdpFallback(this.#node.driver, {
      onDatagram: (datagram) => {
        if (datagram.local.port <= RESERVED_PORTS_END) return false;
        relay.handleDatagram(datagram);
        return true;
      },
      onUnreachable: (local, remote) => relay.handleUnreachable(local, remote),
    });
    return relay;
  }
}

function endpointOf(at: AddrPort): { readonly address: string; readonly port: number } {
  return { address: formatIp(at.address), port: at.port };
}

function tunnelOf({ driver }: TailnetNode): PortRelayTunnel {
  return {
    accept: (request) => acceptTunnelTcp(driver, request),
    reject: (request) => rejectTunnelTcp(driver, request),
  };
}
