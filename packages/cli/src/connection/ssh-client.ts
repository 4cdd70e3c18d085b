/** An SSH connection to the workspace's SSH server, through the tunnel. */
import type { Duplex } from "node:stream";
import { useNativeCiphers } from "coder-agent/services/ssh/native-ciphers";
import type { Client, ClientChannel, ConnectConfig } from "ssh2";
import SshClient from "ssh2/lib/client.js";
import { lenderOf } from "wg-userspace/io/sockets/owned-buffers";
import { UserError } from "../errors/user-error.ts";

/** An SSH server inside the tunnel answers at once; only a broken one takes longer. */
const READY_TIMEOUT_MS = 60_000;
/**
 * A question now and then: an agent that was killed answers nothing by itself, and the one started in its place refuses the
 * old connection only when it hears of it. Silence alone ends nothing, that is for TCP to judge.
 */
const KEEPALIVE_MS = 15_000;

/**
 * Resolves when the server accepted us.
 * @param stream A connection to the workspace's SSH port; owned by the client from now on.
 * @param agentSocket Local SSH agent to forward.
 */
export function connectSsh(stream: Duplex, agentSocket?: string): Promise<Client> {
  useNativeCiphers();
  const client = new SshClient();
  const config: ConnectConfig = {
    sock: stream,
    username: "coder",
    authHandler: ["none"],
    // The tunnel has authenticated the workspace; its host key adds nothing.
    hostVerifier: () => true,
    readyTimeout: READY_TIMEOUT_MS,
    // Socket forwarding is an extension of OpenSSH's that our server speaks without calling itself OpenSSH.
    strictVendor: false,
    keepaliveInterval: KEEPALIVE_MS,
    keepaliveCountMax: Number.MAX_SAFE_INTEGER,
    // About half the cost of the default, where both ends are the same program.
    algorithms: { cipher: { prepend: ["aes128-gcm@openssh.com"], append: [], remove: [] } },
  };
  if (agentSocket !== undefined) {
    config.agent = agentSocket;
    config.agentForward = true;
  }
  return new Promise<Client>((resolve, reject) => {
    client.once("ready", () => {
      giveBackParsed(client, stream);
      resolve(client);
    });
    // Heard for good: an error of a connection that was accepted is no exception, its "close" follows.
    client.on("error", (error) =>
      reject(
        new UserError("The workspace's SSH server did not accept the connection", { why: error.message, cause: error }),
      ),
    );
    client.once("close", () => reject(new UserError("The workspace closed the connection", { code: "ERR_CLOSED" })));
    client.connect(config);
  }).catch((error: unknown) => {
    stream.destroy();
    throw error;
  });
}

/** Listens behind ssh2, which has parsed each chunk by then: its ciphers copy what they keep of it. */
function giveBackParsed(client: Client, stream: Duplex): void {
  const giveBack = lenderOf(stream);
  if (giveBack === undefined) return;
  const { _protocol: protocol } = client as unknown as { _protocol?: { _decipher?: { copiesInput?: boolean } } };
  stream.on("data", (chunk: Uint8Array) => {
    if (protocol?._decipher?.copiesInput === true) giveBack(chunk);
  });
}

/** Has the workspace dial a host for us (`direct-tcpip`). Rejects with the workspace's reason. */
export function dialThrough(client: Client, host: string, port: number): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.forwardOut("127.0.0.1", 0, host, port, (error, channel) => {
      if (error === undefined || error === null) resolve(channel);
      else reject(new Error(plainReason(error.message), { cause: error }));
    });
  });
}

/** As {@link dialThrough}, for a Unix socket of the workspace. */
export function dialSocketThrough(client: Client, path: string): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.openssh_forwardOutStreamLocal(path, (error, channel) => {
      if (error === undefined || error === null) resolve(channel);
      else reject(new Error(plainReason(error.message), { cause: error }));
    });
  });
}

/** `(SSH) Channel open failure: connect ECONNREFUSED …` without its head. */
function plainReason(message: string): string {
  return message.replace(/^\(SSH\) Channel open failure:\s*/, "");
}

/** One SSH connection at a time: made when it is wanted, and again after it was lost. */
export class SshLink {
  readonly #dial: (signal: AbortSignal) => Promise<Duplex>;
  #client: Promise<Client> | undefined;
  #open: Client | undefined;

  /** @param dial Connects to the SSH port. */
  constructor(dial: (signal: AbortSignal) => Promise<Duplex>) {
    this.#dial = dial;
  }

  /** Several callers share one connection, and the first one's signal decides while it is being made. */
  client(signal: AbortSignal): Promise<Client> {
    this.#client ??= this.#connect(signal);
    return this.#client;
  }

  close(): void {
    this.#open?.end();
    this.#client = undefined;
  }

  async #connect(signal: AbortSignal): Promise<Client> {
    try {
      const client = await connectSsh(await this.#dial(signal));
      this.#open = client;
      client.once("close", () => {
        if (this.#open !== client) return;
        this.#open = undefined;
        this.#client = undefined;
      });
      return client;
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }
}
