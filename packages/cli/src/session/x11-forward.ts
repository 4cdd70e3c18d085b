/**
 * `coder ssh -X`: shows windows of programs in the workspace on this machine's display. The workspace gets a fake cookie made for
 * the session; connections that present it are passed on with the display's real one.
 */
import { execFile } from "node:child_process";
import { randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Duplex, Writable } from "node:stream";
import type { Client, X11Options } from "ssh2";
import { UserError } from "../errors/user-error.ts";
import { joined } from "../forwarding/tcp-forward.ts";

const PROTOCOL = "MIT-MAGIC-COOKIE-1";
const XAUTH_TIMEOUT_MS = 10_000;
/** Set-up of an X11 connection: byte order, 0, versions, lengths of protocol and data, 0; then both, padded to four bytes. */
const SETUP_BYTES = 12;
const MAX_SETUP_BYTES = 1024;

export type DisplayAddress = { readonly path: string } | { readonly host: string; readonly port: number };

export interface LocalDisplay {
  readonly address: DisplayAddress;
  readonly screen: number;
}

/** Parses `:0`, `unix:0.1`, `host:10.0`, or a socket's path as on XQuartz. Undefined when it is none of these. */
export function parseDisplay(text: string): LocalDisplay | undefined {
  const match = /^(.*):([0-9]{1,4})(?:\.([0-9]{1,3}))?$/.exec(text);
  if (match === null) return undefined;
  const [, host = "", number = "", screen = "0"] = match;
  if (host.startsWith("/")) return { address: { path: text.replace(/\.[0-9]+$/, "") }, screen: Number(screen) };
  const address =
    host === "" || host === "unix"
      ? { path: `/tmp/.X11-unix/X${number}` }
      : { host: host.replace(/^\[|\]$/g, ""), port: 6000 + Number(number) };
  return { address, screen: Number(screen) };
}

export class X11Forward {
  /** Options for the session's X11 request. */
  readonly request: X11Options;
  readonly #display: LocalDisplay;
  readonly #fake = randomBytes(16);
  readonly #real: Buffer | undefined;

  /** Rejects with a UserError when there is no display. */
  static async open(environment: NodeJS.ProcessEnv): Promise<X11Forward> {
    const text = environment["DISPLAY"] ?? "";
    const display = text === "" ? undefined : parseDisplay(text);
    if (display === undefined) {
      throw new UserError("There is no X11 display to forward", {
        why: text === "" ? "DISPLAY is not set" : `DISPLAY is "${text.slice(0, 100)}"`,
        next: ["run it in a graphical session", "on macOS start XQuartz, on Windows an X server, first"],
        code: "ERR_NO_DISPLAY",
      });
    }
    return new X11Forward(display, await cookieOf(text, environment));
  }

  private constructor(display: LocalDisplay, real: Buffer | undefined) {
    this.#display = display;
    this.#real = real;
    this.request = {
      single: false,
      screen: display.screen,
      protocol: PROTOCOL,
      cookie: this.#fake.toString("hex"),
    } as X11Options;
  }

  /** Connects the workspace's X11 channels to the display until the client ends. */
  serve(client: Client, stderr: Writable): void {
    client.on("x11", (_, accept) => {
      const channel = accept() as Duplex;
      this.#relay(channel).catch((error: unknown) => {
        channel.destroy();
        stderr.write(`coder: X11: ${error instanceof Error ? error.message : String(error)}\r\n`);
      });
    });
  }

  async #relay(channel: Duplex): Promise<void> {
    channel.on("error", () => undefined); // "close" follows
    const { setup, rest } = await readSetup(channel);
    const replaced = replaceCookie(setup, this.#fake, this.#real);
    if (replaced === undefined) throw new Error("a program without the session's cookie was turned away");
    const socket: Socket = connect({ ...this.#display.address, allowHalfOpen: true });
    await once(socket, "connect");
    socket.write(replaced);
    if (rest.length > 0) socket.write(rest);
    await joined(socket, channel).catch(() => undefined); // either end may break off
    socket.destroy();
    channel.destroy();
  }
}

/** The display's cookie, if it needs one. */
function cookieOf(display: string, env: NodeJS.ProcessEnv): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    execFile("xauth", ["-q", "list", display], { env, timeout: XAUTH_TIMEOUT_MS, encoding: "utf8" }, (_, stdout) => {
      const hex = new RegExp(`${PROTOCOL}\\s+([0-9a-f]+)`).exec(stdout)?.[1];
      // Without xauth or an entry there is no cookie; a display that admits this user by other means needs none.
      resolve(hex === undefined ? undefined : Buffer.from(hex, "hex"));
    });
  });
}

async function readSetup(channel: Duplex): Promise<{ setup: Buffer; rest: Buffer }> {
  let bytes = Buffer.alloc(0);
  for (;;) {
    const length = setupLength(bytes);
    if (length !== undefined && bytes.length >= length)
      return { setup: bytes.subarray(0, length), rest: bytes.subarray(length) };
    if (bytes.length > MAX_SETUP_BYTES || (length ?? 0) > MAX_SETUP_BYTES) throw new Error("no X11 connection");
    const [chunk] = (await once(channel, "data")) as [Buffer];
    channel.pause();
    bytes = Buffer.concat([bytes, chunk]);
    channel.resume();
  }
}

/** Undefined until enough bytes have arrived. */
function setupLength(bytes: Buffer): number | undefined {
  if (bytes.length < SETUP_BYTES) return undefined;
  const read = reader(bytes);
  return SETUP_BYTES + padded(read(6)) + padded(read(8));
}

/** The set-up with the fake cookie replaced by the real one; undefined when it does not contain the fake one. Pure. */
export function replaceCookie(setup: Buffer, fake: Buffer, real: Buffer | undefined): Buffer | undefined {
  const read = reader(setup);
  const [nameLength, dataLength] = [read(6), read(8)];
  const name = setup.toString("latin1", SETUP_BYTES, SETUP_BYTES + nameLength);
  const at = SETUP_BYTES + padded(nameLength);
  const shown = setup.subarray(at, at + dataLength);
  if (name !== PROTOCOL || shown.length !== fake.length || !timingSafeEqual(shown, fake)) return undefined;
  const head = Buffer.from(setup.subarray(0, SETUP_BYTES));
  const write = setup[0] === 0x42 ? "writeUInt16BE" : "writeUInt16LE";
  if (real === undefined) {
    head[write](0, 6);
    head[write](0, 8);
    return head;
  }
  head[write](real.length, 8);
  return Buffer.concat([head, setup.subarray(SETUP_BYTES, at), real, Buffer.alloc(padded(real.length) - real.length)]);
}

function reader(bytes: Buffer): (at: number) => number {
  return bytes[0] === 0x42 ? (at) => bytes.readUInt16BE(at) : (at) => bytes.readUInt16LE(at);
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
