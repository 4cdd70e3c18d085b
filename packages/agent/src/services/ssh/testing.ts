/** Shared by the tests of this folder: a service, and clients on in-memory streams. Not used at run time. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import {
  Client,
  type ClientChannel,
  type ConnectConfig,
  type ExecOptions,
  type PseudoTtyOptions,
  type SFTPWrapper,
} from "ssh2";
import type { Logger } from "wg-userspace/base/ports";
import { deriveHostKey } from "./host-key.ts";
import { SshService, type SshServiceOptions } from "./ssh-service.ts";

const PAIR_HIGH_WATER_BYTES = 256 * 1024;

/** Two ends of one connection with back-pressure: a write completes when the other end takes it. */
export function duplexPair(): [Duplex, Duplex] {
  const a = new PairEnd();
  const b = new PairEnd();
  a.other = b;
  b.other = a;
  return [a, b];
}

class PairEnd extends Duplex {
  other: PairEnd | undefined;
  #taken: (() => void) | undefined;

  constructor() {
    super({ highWaterMark: PAIR_HIGH_WATER_BYTES, allowHalfOpen: true });
  }

  override _read(): void {
    const taken = this.other?.takeCallback();
    taken?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const other = this.other!;
    if (other.destroyed) done();
    else if (other.push(chunk)) process.nextTick(done);
    else this.#taken = done;
  }

  override _final(done: () => void): void {
    if (!this.other!.destroyed) this.other!.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const other = this.other!;
    setImmediate(() => {
      if (!other.destroyed) other.destroy();
    });
    done(error);
  }

  takeCallback(): (() => void) | undefined {
    const taken = this.#taken;
    this.#taken = undefined;
    return taken;
  }
}

export interface LoggedLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

/** A service with a temporary home directory, and everything it logged. */
export class TestService implements AsyncDisposable {
  readonly home = mkdtempSync(join(tmpdir(), "ssh-service-"));
  readonly log: LoggedLine[] = [];
  readonly service: SshService;
  readonly #clients = new Set<Client>();

  constructor(options: Partial<SshServiceOptions> = {}) {
    const logger: Logger = {
      level: "debug",
      log: (level, message, fields) => this.log.push({ level, message, fields }),
    };
    this.service = new SshService({
      hostKey: TEST_HOST_KEY,
      environment: () => ({ CODER: "true", CODER_AGENT_TOKEN: "the-agents-token" }),
      directory: () => undefined,
      user: () => ({ name: "tester", shell: "/bin/bash", home: this.home, uid: process.getuid?.() ?? 0 }),
      logger,
      ...options,
    });
  }

  async connect(config: ConnectConfig = {}): Promise<Client> {
    const [near, far] = duplexPair();
    this.service.handleConnection(far, { address: "fd7a:115c:a1e0::1", port: 4321 });
    return this.connectOver(near, config);
  }

  async connectOver(stream: Duplex, config: ConnectConfig = {}): Promise<Client> {
    const client = new Client();
    this.#clients.add(client);
    const ready = once(client, "ready");
    client.connect({ username: "any-name", sock: stream, ...config });
    await ready;
    client.on("error", () => undefined); // a lost connection is part of several tests
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await this.service.close({ graceMs: 0 });
    rmSync(this.home, { recursive: true, force: true });
  }
}

const TEST_HOST_KEY = deriveHostKey({ owner: "owner", workspace: "workspace", agent: "main" });

export function exec(client: Client, command: string, options: ExecOptions = {}): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.exec(command, options, (error, channel) => (error === undefined ? resolve(channel) : reject(error)));
  });
}

export function shell(client: Client, pty: PseudoTtyOptions): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.shell(pty, (error, channel) => (error === undefined ? resolve(channel) : reject(error)));
  });
}

export function sftp(client: Client): Promise<SFTPWrapper> {
  return new Promise((resolve, reject) => {
    client.sftp((error, wrapper) => (error === undefined ? resolve(wrapper) : reject(error)));
  });
}

export interface Outcome {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly status: number | undefined;
  readonly signal: string | undefined;
}

/** Reads both streams to the end of the channel. */
export async function outcome(channel: ClientChannel): Promise<Outcome> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let status: number | undefined;
  let signal: string | undefined;
  channel.on("data", (chunk: Buffer) => stdout.push(chunk));
  channel.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  channel.on("exit", (code: number | null, name?: string) => {
    if (code === null) signal = name;
    else status = code;
  });
  await once(channel, "close");
  return { stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr), status, signal };
}

export async function run(
  client: Client,
  command: string,
  options: ExecOptions = {},
  input?: Buffer | string,
): Promise<Outcome> {
  const channel = await exec(client, command, options);
  if (input !== undefined) channel.end(input);
  return outcome(channel);
}

export async function eventually(what: string, condition: () => boolean, withinMs = 10_000): Promise<void> {
  for (let waited = 0; !condition(); waited += 10) {
    if (waited > withinMs) throw new Error(`still not so after ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** ssh2's message writers, to send what its Client would not. */
export interface RawProtocol {
  _handlers: Record<string, (...args: never[]) => void>;
  session(local: number, window: number, packetSize: number): void;
  channelData(peer: number, data: Buffer): void;
  channelEOF(peer: number): void;
  channelClose(peer: number): void;
  channelWindowAdjust(peer: number, bytes: number): void;
  signal(peer: number, name: string): void;
  subsystem(peer: number, name: string, wantReply: boolean): void;
  exec(peer: number, command: string, wantReply: boolean): void;
  env(peer: number, name: string, value: string, wantReply: boolean): void;
  ping(): void;
  tcpipForward(address: string, port: number, wantReply: boolean): void;
  rekey(): void;
  _packetRW: { write: { alloc(bytes: number): Buffer; allocStart: number; finalize(packet: Buffer): Buffer } };
  _cipher: { encrypt(packet: Buffer): void };
}

export const raw = (client: Client): RawProtocol => (client as unknown as { _protocol: RawProtocol })._protocol;
export const numberOf = (channel: ClientChannel): number =>
  (channel as unknown as { outgoing: { id: number } }).outgoing.id;
