import type { Dialer } from "coder-client/dial/dialer";
import type { Logger } from "wg-userspace/base/ports";

/** Settings of one agent process. */
export interface AgentOptions {
  /** Deployment to connect to. */
  readonly url: URL;
  /** The agent's token, a UUID. */
  readonly token: string;
  readonly extraHeaders?: () => Promise<Readonly<Record<string, string>>>;
  /** How the deployment and its relays are reached: authorities, client certificate, proxy; absent: by the environment. */
  readonly dialer?: Dialer;
  /** UDP port of the tunnel; absent or 0: any. */
  readonly listenPort?: number;
  /** How long a session outlives a client that does not answer, in ms. */
  readonly sshMaxTimeoutMs: number;
  /** How long nothing may be heard of a client that vanished without a goodbye, in ms; absent: 2 min. */
  readonly goneAfterMs?: number;
  readonly blockFileTransfer: boolean;
  /** Where the output of scripts goes; default: the system's directory for temporary files. */
  readonly logDirectory?: string;
  /** Addresses of the host, `host:port`, where debug pages and metrics are served besides the tunnel; absent: nowhere. */
  readonly debugAddress?: string;
  readonly prometheusAddress?: string;
  readonly logger: Logger;
  readonly version: string;
}
