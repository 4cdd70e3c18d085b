import type { Dialer } from "coder-client/dial/dialer";
import type { Logger } from "wg-userspace/base/ports";

/** Settings of one agent process. */
export interface AgentOptions {
  /** Deployment to connect to. */
  readonly url: URL;
  /** The agent's token, a UUID. */
  readonly token: string;
  readonly extraHeaders?: (() => Promise<Readonly<Record<string, string>>>) | undefined;
  /**
   * How the deployment and its relays are reached: authorities, client certificate, proxy. Absent: taken from the
   * environment.
   */
  readonly dialer?: Dialer | undefined;
  /** UDP port of the tunnel; absent or 0: chosen by the system. */
  readonly listenPort?: number | undefined;
  /** How long a session outlives a client that does not answer, in ms. */
  readonly sshMaxTimeoutMs: number;
  /** Silence after which a client that vanished without a disconnect counts as gone, in ms; absent: 2 min. */
  readonly goneAfterMs?: number | undefined;
  readonly blockFileTransfer: boolean;
  /** Directory for the output of scripts; default: the system's directory for temporary files. */
  readonly logDirectory?: string | undefined;
  /** Addresses of the host, `host:port`, that also serve debug pages and metrics; absent: only the tunnel does. */
  readonly debugAddress?: string | undefined;
  readonly prometheusAddress?: string | undefined;
  /** Apps that this machine declares, in the form of the API, and a file with more that is followed. */
  readonly apps?: readonly object[] | undefined;
  readonly appsFile?: string | undefined;
  readonly logger: Logger;
  readonly version: string;
}
