/** An SSH connection to the workspace's SSH server, through the tunnel. */
import type { Duplex } from "node:stream";
import { useNativeCiphers } from "coder-agent/services/ssh/native-ciphers";
import type { Client, ClientChannel, ConnectConfig } from "ssh2";
import SshClient from "ssh2/lib/client.js";
import { lenderOf } from "wg-userspace/io/sockets/owned-buffers";
import { UserError } from "../errors/user-error.ts";

/** An SSH server inside the tunnel answers at once, so only a broken one takes longer. */
const READY_TIMEOUT_MS = 60_000;
/**
 * Interval of keepalive requests. An agent that was killed cannot end its connections, and its successor refuses them only when
 * it receives something on them. Silence alone ends nothing: TCP decides that.
 */
const KEEPALIVE_MS = 15_000;

/**
 * Resolves when the server has accepted the client.
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
    // Socket forwarding is an OpenSSH extension; our server supports it without calling itself OpenSSH.
    strictVendor: false,
    keepaliveInterval: KEEPALIVE_MS,
    keepaliveCountMax: Number.MAX_SAFE_INTEGER,
    // Costs about half as much as the default cipher when both ends are this program.
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
    // Stays for the connection's lifetime: an error after the handshake must not be thrown, because "close" follows.
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

/** Listens after ssh2, which has parsed each chunk by then; its ciphers copy what they keep. */
function giveBackParsed(client: Client, stream: Duplex): void {
  const giveBack = lenderOf(stream);
  if (giveBack === undefined) return;
  const { _protocol: protocol } = client as unknown as { _protocol?: { _decipher?: { copiesInput?: boolean } } };
  stream.on("data", (chunk: Uint8Array) => {
    if (protocol?._decipher?.copiesInput === true) giveBack(chunk);
  });
}

/** Lets the workspace dial a host (`direct-tcpip`). Rejects with the reason the workspace gives. */
export function dialThrough(client: Client, host: string, port: number): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.forwardOut("127.0.0.1", 0, host, port, (error, channel) => {
      if (error === undefined || error === null) resolve(channel);
      else reject(new Error(plainReason(error.message), { cause: error }));
    });
  });
}

/** Like {@link dialThrough}, for a Unix socket of the workspace. */
export function dialSocketThrough(client: Client, path: string): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.openssh_forwardOutStreamLocal(path, (error, channel) => {
      if (error === undefined || error === null) resolve(channel);
      else reject(new Error(plainReason(error.message), { cause: error }));
    });
  });
}

/** Removes the head of `(SSH) Channel open failure: connect ECONNREFUSED …`. */
function plainReason(message: string): string {
  return message.replace(/^\(SSH\) Channel open failure:\s*/, "");
}

/** Holds one SSH connection at a time: made when it is needed, and again after it was lost. */
export class SshLink {
  readonly #dial: (signal: AbortSignal) => Promise<Duplex>;
  #client: Promise<Client> | undefined;
  #open: Client | undefined;

  /** @param dial Connects to the SSH port. */
  constructor(dial: (signal: AbortSignal) => Promise<Duplex>) {
    this.#dial = dial;
  }

  /** Callers share one connection. While it is being made, the first caller's signal cancels it for all. */
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
