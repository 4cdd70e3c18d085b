import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { CHANNELS_PER_SSH_CONNECTION } from "coder-protocol/tunnel-ports";
import type { Logger } from "wg-userspace/base/ports";
import { ProcessSessions } from "../../host/processes.ts";
import { type ThreadShares, threadShares } from "../../host/thread-shares.ts";
import type { SessionUser } from "../../host/user.ts";
import { type ConnectionEnd, SshConnection } from "./connection.ts";
import { ForwardedSockets } from "./forwarded-sockets.ts";
import { type Dialer, dialerOf } from "./forwarding.ts";
import type { Admission, SessionContext, SessionType } from "./session.ts";
import { type HostKeys, parseHostKey } from "./ssh2-protocol.ts";

export interface SshLimits {
  /** Clients at the same time; further streams are destroyed. */
  readonly maxConnections: number;
  /** Sessions that run a program, over all clients. */
  readonly maxSessions: number;
  /** Channels of one client, forwarded connections included. */
  readonly maxChannels: number;
  /** Listeners of one client. */
  readonly maxForwards: number;
  /** Total bytes of names and values in one session's `env` requests. */
  readonly maxEnvBytes: number;
  readonly loginGraceMs: number;
  /** Time from the hang-up of a terminal to SIGKILL, in ms. */
  readonly killGraceMs: number;
  /** Rekey after this much traffic. */
  readonly rekeyBytes: number;
}

const DEFAULT_LIMITS: SshLimits = {
  maxConnections: 512,
  maxSessions: 1024,
  maxChannels: CHANNELS_PER_SSH_CONNECTION,
  maxForwards: 256,
  maxEnvBytes: 64 * 1024,
  loginGraceMs: 120_000,
  killGraceMs: 5_000,
  rekeyBytes: 32 * 2 ** 30, // RFC 4344 §3.2 for AES: at most 64 GiB under one key
};

const DEFAULT_MAX_TIMEOUT_MS = 72 * 60 * 60 * 1000;
const DEFAULT_CLOSE_GRACE_MS = 5_000;
/** The programs have ended when this starts, but their exit reports need a few turns of the event loop. */
const REPORT_WAIT_MS = 500;
const REPORT_POLL_MS = 10;

export interface SessionEvent {
  readonly kind: "open" | "close";
  readonly id: string;
  readonly type: SessionType;
  /** Why it closed; empty when the program ended with status 0. */
  readonly reason?: string;
}

export interface SshServiceOptions {
  /** Called for every client at its first session. The returned function is called when the client has disconnected. */
  readonly onClient?: (address: string, type: SessionType) => (end: ConnectionEnd) => void;
  /** Private key, OpenSSH or PEM. */
  readonly hostKey: string | Uint8Array;
  /** Workspace variables, evaluated for every session. */
  readonly environment: () => Readonly<Record<string, string>>;
  /** Where sessions start; the home directory when undefined or missing. */
  readonly directory: () => string | undefined;
  readonly motd?: SessionContext["motd"];
  readonly banners?: () => readonly string[];
  /** Evaluated for every session: an account's shell may change while the agent runs. */
  readonly user: () => SessionUser;
  readonly logger: Logger;
  readonly limits?: Partial<SshLimits>;
  readonly blockFileTransfer?: boolean;
  readonly onSession?: (event: SessionEvent) => void;
  /** How long a client may be silent, keepalives unanswered, before its connection ends. Default: 72 h. */
  readonly maxTimeoutMs?: number;
  /** `builtin`, or the path of an SFTP server; default: the system's, otherwise the builtin one. */
  readonly sftpServer?: string;
  /** False behaves as if no terminal could be created here. */
  readonly terminals?: boolean;
  /** Dials for clients' forwards; default: through the host's network. */
  readonly dial?: Dialer;
  /** Default: those of this process. */
  readonly threads?: ThreadShares;
}

export interface RemoteAddress {
  readonly address: string;
  readonly port: number;
}

/**
 * SSH inside the tunnel: the owner of the tunnel's listener passes every accepted stream on. The service itself never listens on
 * an interface (except on loopback for a client's remote forwards) and requires no authentication, because every stream comes
 * from a peer that the tunnel has authenticated.
 */
export class SshService {
  readonly #options: SshServiceOptions;
  readonly #limits: SshLimits;
  readonly #hostKeys: HostKeys;
  readonly #processes: ProcessSessions;
  readonly #sockets: ForwardedSockets;
  readonly #connections = new Set<SshConnection>();
  readonly #counts: Record<SessionType, number> = { ssh: 0, vscode: 0, jetbrains: 0 };
  #nextSession = 1;
  #running = 0;
  #closing: Promise<void> | undefined;

  /** Throws TypeError when the host key cannot be read. */
  constructor(options: SshServiceOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#hostKeys = parseHostKey(options.hostKey);
    this.#processes = new ProcessSessions(options.logger);
    this.#sockets = new ForwardedSockets(options.logger);
  }

  /** Open sessions by the kind of program that the client declared. */
  get counts(): Readonly<Record<SessionType, number>> {
    return { ...this.#counts };
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Takes ownership of the stream. `local` is the address that the client dialled, for SSH_CONNECTION. */
  handleConnection(stream: Duplex, remote: RemoteAddress, local: RemoteAddress = { address: "::", port: 22 }): void {
    if (this.#closing !== undefined || this.#connections.size >= this.#limits.maxConnections) {
      stream.on("error", (error) => this.#options.logger.log("debug", "refused stream", { error: error.message }));
      stream.destroy();
      return;
    }
    const { logger, onClient, threads = threadShares() } = this.#options;
    let gone: ((end: ConnectionEnd) => void) | undefined;
    const connection = new SshConnection(
      {
        hostKeys: this.#hostKeys,
        logger,
        limits: { ...this.#limits, deadClientMs: this.#options.maxTimeoutMs ?? DEFAULT_MAX_TIMEOUT_MS },
        dial: this.#options.dial ?? dialerOf(threads.lookupFor(remote.address)),
        answers: (path) => threads.answers(path),
        sockets: this.#sockets,
        session: (forwardAgent, opener) => ({
          opener,
          user: this.#options.user(),
          logger,
          endpoints: { remote, local },
          processes: this.#processes,
          threads,
          maxEnvBytes: this.#limits.maxEnvBytes,
          killGraceMs: this.#limits.killGraceMs,
          blockFileTransfer: this.#options.blockFileTransfer ?? false,
          sftpServer: this.#options.sftpServer,
          terminals: this.#options.terminals ?? true,
          environment: this.#options.environment,
          directory: this.#options.directory,
          motd: this.#options.motd ?? (() => Promise.resolve(undefined)),
          banners: this.#options.banners ?? (() => []),
          forwardAgent,
          closing: () => this.#closing !== undefined,
          admit: (type) => {
            const admission = this.#admit(type);
            if (admission !== undefined) gone ??= onClient?.(remote.address, type);
            return admission;
          },
        }),
        onClose: (end) => {
          this.#connections.delete(connection);
          gone?.(end);
        },
      },
      stream,
    );
    this.#connections.add(connection);
  }

  /**
   * Hangs up on every program, kills the rest after the grace, then disconnects the clients, which receive the exit of
   * their programs. Idempotent.
   */
  close(options: { readonly graceMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.graceMs ?? DEFAULT_CLOSE_GRACE_MS);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    await this.#processes.terminateAll(graceMs);
    for (let waited = 0; this.#running > 0 && waited < REPORT_WAIT_MS; waited += REPORT_POLL_MS)
      await sleep(REPORT_POLL_MS);
    for (const connection of [...this.#connections]) connection.close();
    // Ends programs that were still starting, whose connection is gone.
    await this.#processes.terminateAll(0);
  }

  /**
   * A session is open while its client is connected. A program without a terminal may outlive the client, and then keeps its
   * place.
   */
  #admit(type: SessionType): Admission | undefined {
    if (this.#closing !== undefined || this.#running >= this.#limits.maxSessions) return undefined;
    const id = String(this.#nextSession++);
    this.#running++;
    this.#counts[type]++;
    this.#options.onSession?.({ kind: "open", id, type });
    let open = true;
    return {
      closed: (reason) => {
        if (!open) return;
        open = false;
        this.#counts[type]--;
        this.#options.onSession?.({ kind: "close", id, type, reason });
      },
      ended: () => {
        this.#running--;
      },
    };
  }
}
