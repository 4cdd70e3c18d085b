import type { Duplex } from "node:stream";
import type { Logger } from "wg-userspace/base/ports";
import {
  acceptedPacketBytes,
  type ChannelHost,
  type ExitReport,
  MIN_PACKET_BYTES,
  PACKET_BYTES,
  SshChannel,
  WINDOW_BYTES,
} from "./channel.ts";
import type { ForwardedSockets } from "./forwarded-sockets.ts";
import {
  type Answers,
  type ChannelOpener,
  type Dialer,
  dialSocket,
  dialTcp,
  Forwards,
  joinStreams,
} from "./forwarding.ts";
import { parseChannelRequest, parseGlobalRequest } from "./requests.ts";
import { type SessionContext, SshSession } from "./session.ts";
import {
  type ChannelConfirmation,
  type ChannelOpenInfo,
  copiesInput,
  createServerProtocol,
  DISCONNECT,
  type HostKeys,
  isExchangingKeys,
  type MessageHandlers,
  OPEN_FAILURE,
  protocolReady,
  queuedMessages,
  type ServerProtocol,
} from "./ssh2-protocol.ts";
import { Transport } from "./transport.ts";

/** A connection ends after this many unanswered keepalives. */
const MAX_MISSED = 3;
/** With this many unanswered global requests no more input is read, because replies must keep the order of the requests. */
const MAX_WAITING_REQUESTS = 64;
/** Bound on replies queued behind a key exchange that the client started and does not finish. */
const MAX_QUEUED_MESSAGES = 4096;
/** The packet counter is part of a nonce and has 32 bits (RFC 4344 §3.1 asks for a new key well before). */
const REKEY_PACKETS = 2 ** 30;
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface ConnectionLimits {
  readonly maxChannels: number;
  readonly maxForwards: number;
  readonly loginGraceMs: number;
  /** A client that is silent for this long counts as dead, in ms. */
  readonly deadClientMs: number;
  readonly rekeyBytes: number;
}

export interface ConnectionContext {
  readonly hostKeys: HostKeys;
  readonly logger: Logger;
  readonly limits: ConnectionLimits;
  readonly dial: Dialer;
  readonly answers: Answers;
  readonly sockets: ForwardedSockets;
  readonly session: (forwardAgent: () => string | undefined, opener: ChannelOpener) => SessionContext;
  readonly onClose: (end: ConnectionEnd) => void;
}

/** Result of a message handler that threw. */
const FAILED = Symbol("failed");

type Slot = SshChannel | ((channel: SshChannel | undefined) => void) | "dialing";

/** How a connection ended. */
export interface ConnectionEnd {
  /** Exit of the program that ended last, if there was one. */
  readonly exit: ExitReport | undefined;
  /** Why the connection broke; undefined when it did not. */
  readonly failure: string | undefined;
}

/**
 * One client: SSH transport over the given stream, no authentication (the tunnel has authenticated the peer), channels
 * and global requests (RFC 4254). No input from the client makes it throw; a breach of protocol ends the connection.
 */
export class SshConnection implements ChannelHost, ChannelOpener {
  readonly #context: ConnectionContext;
  readonly #transport: Transport;
  readonly #protocol: ServerProtocol;
  readonly #forwards: Forwards;
  /** Slots by our channel number: an open channel, a call waiting for the client's answer, or a pending dial. */
  readonly #slots = new Map<number, Slot>();
  readonly #sessions = new Map<SshChannel, SshSession>();
  /** Channels whose streams are not finished, including those the client has closed. */
  readonly #alive = new Set<SshChannel>();
  readonly #waiting = new Set<SshChannel>();
  #nextChannel = 0;
  #keysExchanged = false;
  #authenticated = false;
  #noMoreSessions = false;
  #requests = Promise.resolve();
  #waitingRequests = 0;
  #heard = false;
  #missed = 0;
  #packets = 0;
  #bytesSinceKey = 0;
  #closed = false;
  #exit: ExitReport | undefined;
  /** Sessions whose program is still running. */
  #programs = 0;
  #failure: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: ConnectionContext, stream: Duplex) {
    this.#context = context;
    this.#transport = new Transport(stream, {
      onData: (chunk) => this.#receive(chunk),
      onWritable: () => this.#room(),
      onClose: (error) => this.#teardown(error),
    });
    const { answers, logger, sockets, limits } = context;
    this.#forwards = new Forwards({ opener: this, logger, sockets, maxListeners: limits.maxForwards, answers });
    this.#protocol = createServerProtocol({
      hostKeys: context.hostKeys,
      handlers: this.#handlers(),
      onWrite: (bytes, owned) => {
        this.#bytesSinceKey += bytes.length;
        this.#transport.write(bytes, owned === true);
      },
      onError: (error) => this.#fail(error),
      onPacket: () => {
        this.#heard = true;
        this.#packets++;
      },
      onKeyExchanged: () => {
        this.#keysExchanged = true;
        this.#packets = 0;
        this.#bytesSinceKey = 0;
        queueMicrotask(() => this.#room());
      },
    });
    this.#timer = setTimeout(() => this.#fail(new Error("login took too long")), context.limits.loginGraceMs);
    this.#timer.unref();
    protocolReady.then(
      () => {
        if (this.#closed) return;
        this.#protocol.start();
        this.#transport.start();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  /** Disconnects and ends the stream. Programs continue as after a lost connection. */
  close(): void {
    this.#disconnect(DISCONNECT.byApplication);
  }

  // ChannelHost

  get full(): boolean {
    return this.#closed || isExchangingKeys(this.#protocol) || this.#transport.full;
  }

  waitForRoom(channel: SshChannel): void {
    this.#waiting.add(channel);
  }

  sendData(peer: number, bytes: Buffer): void {
    if (this.#closed) return;
    this.#packets++;
    this.#protocol.channelData(peer, bytes);
    this.#rekeyWhenDue();
  }

  sendExtendedData(peer: number, bytes: Buffer, type: number): void {
    if (this.#closed) return;
    this.#packets++;
    this.#protocol.channelExtData(peer, bytes, type);
    this.#rekeyWhenDue();
  }

  sendCredit(peer: number, bytes: number): void {
    if (!this.#closed) this.#protocol.channelWindowAdjust(peer, bytes);
  }

  sendEof(peer: number): void {
    if (!this.#closed) this.#protocol.channelEOF(peer);
  }

  sendClose(peer: number): void {
    if (!this.#closed) this.#protocol.channelClose(peer);
  }

  sendExit(peer: number, exit: ExitReport): void {
    if (this.#closed) return;
    this.#exit = exit;
    this.#programs--;
    if ("signal" in exit) this.#protocol.exitSignal(peer, exit.signal, exit.coreDumped === true, "");
    else this.#protocol.exitStatus(peer, exit.status);
  }

  // ChannelOpener

  openForwardedTcp(
    bound: { address: string; port: number },
    origin: { address: string; port: number },
  ): Promise<SshChannel | undefined> {
    return this.#open((local) =>
      this.#protocol.forwardedTcpip(local, WINDOW_BYTES, PACKET_BYTES, {
        boundAddr: bound.address,
        boundPort: bound.port,
        remoteAddr: origin.address,
        remotePort: origin.port,
      }),
    );
  }

  openForwardedSocket(path: string): Promise<SshChannel | undefined> {
    return this.#open((local) =>
      this.#protocol.openssh_forwardedStreamLocal(local, WINDOW_BYTES, PACKET_BYTES, { socketPath: path }),
    );
  }

  openAgent(): Promise<SshChannel | undefined> {
    return this.#open((local) => this.#protocol.openssh_authAgent(local, WINDOW_BYTES, PACKET_BYTES));
  }

  openX11(origin: { address: string; port: number }): Promise<SshChannel | undefined> {
    const cfg = { originAddr: origin.address, originPort: origin.port };
    return this.#open((local) => this.#protocol.x11(local, WINDOW_BYTES, PACKET_BYTES, cfg));
  }

  #open(send: (local: number) => void): Promise<SshChannel | undefined> {
    if (this.#closed || !this.#mayOpen()) return Promise.resolve(undefined);
    const local = this.#takeNumber();
    return new Promise((resolve) => {
      this.#slots.set(local, resolve);
      send(local);
    });
  }

  // Messages of the client

  /** @returns whether the chunk was consumed, and no view of it is kept. */
  #receive(chunk: Buffer): boolean {
    if (this.#closed) return true;
    this.#bytesSinceKey += chunk.length;
    const consumed = copiesInput(this.#protocol);
    try {
      this.#protocol.parse(chunk, 0, chunk.length);
    } catch (error) {
      this.#fail(error);
      return false;
    }
    if (!this.#closed && queuedMessages(this.#protocol) > MAX_QUEUED_MESSAGES) {
      this.#fail(new Error("the client does not finish its key exchange"));
    }
    this.#rekeyWhenDue();
    return consumed;
  }

  #handlers(): MessageHandlers {
    return {
      DISCONNECT: (_, reason) => {
        this.#context.logger.log("debug", "ssh client disconnected", { reason });
        this.#transport.finish();
        this.#teardown(undefined);
      },
      SERVICE_REQUEST: (_, service) => {
        if (service === "ssh-userauth" && this.#keysExchanged) this.#protocol.serviceAccept(service);
        else this.#fail(new Error("unknown service requested"));
      },
      USERAUTH_REQUEST: (_, _user, service) => this.#login(service),
      GLOBAL_REQUEST: (_, name, wantReply, data) => this.#globalRequest(name, wantReply, data),
      CHANNEL_OPEN: (_, info) => {
        if (this.#attempt(() => this.#channelOpen(info)) === FAILED) {
          this.#refuseChannel(info, OPEN_FAILURE.resourceShortage, "internal error");
        }
      },
      CHANNEL_OPEN_CONFIRMATION: (_, info) => void this.#attempt(() => this.#confirmed(info)),
      CHANNEL_OPEN_FAILURE: (_, recipient) => void this.#attempt(() => this.#refused(recipient)),
      CHANNEL_DATA: (_, recipient, data) => {
        const channel = this.#channel(recipient);
        if (this.#attempt(() => channel?.receive(data)) === false)
          this.#fail(new Error("the client sent more than the window allows"));
      },
      CHANNEL_WINDOW_ADJUST: (_, recipient, amount) => {
        if (this.#attempt(() => this.#channel(recipient)?.addWindow(amount)) === false)
          this.#fail(new Error("channel window overflow"));
      },
      CHANNEL_EOF: (_, recipient) => void this.#attempt(() => this.#channel(recipient)?.receiveEof()),
      CHANNEL_CLOSE: (_, recipient) => {
        const channel = this.#channel(recipient);
        if (channel === undefined) return;
        this.#slots.delete(recipient);
        this.#attempt(() => channel.receiveClose());
      },
      CHANNEL_REQUEST: (_, recipient, type, wantReply, data) => {
        const channel = this.#channel(recipient);
        if (channel === undefined) return;
        const session = this.#sessions.get(channel);
        const succeeded =
          this.#attempt(() => {
            const request = parseChannelRequest(type, data);
            return session !== undefined && request !== undefined && session.handleRequest(request);
          }) === true;
        if (!wantReply || this.#closed) return;
        if (succeeded) this.#protocol.channelSuccess(channel.peer);
        else this.#protocol.channelFailure(channel.peer);
      },
    };
  }

  /** A message that cannot be served is not a protocol breach: only its request fails, and the connection continues. */
  #attempt<T>(serve: () => T): T | typeof FAILED {
    try {
      return serve();
    } catch (error) {
      this.#context.logger.log("warn", "an ssh request failed", { error: String(error) });
      return FAILED;
    }
  }

  /** Every method and name is accepted: the tunnel has authenticated every peer that reaches this stream. */
  #login(service: string): void {
    if (service !== "ssh-connection" || !this.#keysExchanged) {
      this.#fail(new Error("unknown service requested"));
      return;
    }
    if (this.#authenticated) return;
    this.#authenticated = true;
    this.#protocol.authSuccess();
    clearTimeout(this.#timer);
    const everyMs = Math.min(this.#context.limits.deadClientMs / (MAX_MISSED + 1), MAX_TIMER_MS);
    this.#timer = setInterval(() => this.#keepAlive(), Math.max(everyMs, 1));
    this.#timer.unref();
  }

  #keepAlive(): void {
    this.#missed = this.#heard ? 0 : this.#missed + 1;
    this.#heard = false;
    if (this.#missed >= MAX_MISSED) this.#fail(new Error("the client no longer answers"));
    else if (!this.full) this.#protocol.ping();
  }

  #globalRequest(name: string, wantReply: boolean, data: unknown): void {
    this.#waitingRequests++;
    this.#transport.hold(this.#waitingRequests >= MAX_WAITING_REQUESTS);
    this.#requests = this.#requests.then(async () => {
      const result = this.#authenticated ? await this.#answerGlobal(name, data) : false;
      this.#waitingRequests--;
      this.#transport.hold(this.#waitingRequests >= MAX_WAITING_REQUESTS);
      if (!wantReply || this.#closed) return;
      if (result === false) this.#protocol.requestFailure();
      else this.#protocol.requestSuccess(result === true ? undefined : result);
    });
  }

  async #answerGlobal(name: string, data: unknown): Promise<boolean | Buffer> {
    try {
      const request = parseGlobalRequest(name, data);
      switch (request?.name) {
        case "tcpip-forward": {
          const port = await this.#forwards.listenTcp(request.address, request.port);
          return port === undefined ? false : request.port === 0 ? uint32(port) : true;
        }
        case "cancel-tcpip-forward":
          return this.#forwards.cancelTcp(request.address, request.port);
        case "streamlocal-forward@openssh.com":
          return await this.#forwards.listenSocket(request.path);
        case "cancel-streamlocal-forward@openssh.com":
          return this.#forwards.cancelSocket(request.path);
        case "no-more-sessions@openssh.com":
          this.#noMoreSessions = true;
          return true;
        case undefined:
          return false; // also the answer to keepalive@openssh.com
      }
    } catch (error) {
      this.#context.logger.log("warn", "a forward could not be set up", { error: String(error) });
      return false;
    }
  }

  #channelOpen(info: ChannelOpenInfo): void {
    const refuse = (reason: number, text: string): void => this.#refuseChannel(info, reason, text);
    const { destIP = "", destPort = 0, socketPath = "" } = info.data;
    if (!this.#authenticated) refuse(OPEN_FAILURE.prohibited, "not logged in");
    else if (!this.#mayOpen()) refuse(OPEN_FAILURE.resourceShortage, "too many channels");
    else if (info.packetSize < MIN_PACKET_BYTES) refuse(OPEN_FAILURE.prohibited, "maximum packet size is too small");
    else if (info.type === "session" && this.#noMoreSessions) refuse(OPEN_FAILURE.prohibited, "no more sessions");
    else if (info.type === "session") this.#acceptSession(info);
    else if (info.type === "direct-tcpip") void this.#dial(info, dialTcp(this.#context.dial, destIP, destPort), refuse);
    else if (info.type === "direct-streamlocal@openssh.com") {
      if (typeof socketPath !== "string") refuse(OPEN_FAILURE.connectFailed, "the socket's path is not UTF-8");
      else void this.#dial(info, dialSocket(this.#context.dial, socketPath, this.#context.answers), refuse);
    } else refuse(OPEN_FAILURE.unknownType, "unknown channel type");
  }

  #refuseChannel(info: ChannelOpenInfo, reason: number, text: string): void {
    if (!this.#closed) this.#protocol.channelOpenFail(info.sender, reason, text);
  }

  #acceptSession(info: ChannelOpenInfo): void {
    this.#programs++;
    const channel = this.#accept(this.#takeNumber(), info);
    const session = new SshSession(
      this.#context.session(() => this.#forwards.agentSocket(), this),
      channel,
    );
    this.#sessions.set(channel, session);
    channel.once("close", () => this.#sessions.delete(channel));
  }

  /** The channel is confirmed only when the connection exists, so that the client sees a failed dial as a refusal. */
  async #dial(
    info: ChannelOpenInfo,
    dialed: ReturnType<typeof dialTcp>,
    refuse: (reason: number, text: string) => void,
  ): Promise<void> {
    const local = this.#takeNumber();
    this.#slots.set(local, "dialing");
    try {
      const socket = await dialed;
      if (this.#closed) socket.destroy();
      else joinStreams(this.#accept(local, info), socket);
    } catch (error) {
      this.#slots.delete(local);
      refuse(OPEN_FAILURE.connectFailed, error instanceof Error ? error.message : "cannot connect");
    }
  }

  #accept(local: number, info: ChannelOpenInfo): SshChannel {
    this.#protocol.channelOpenConfirm(info.sender, local, WINDOW_BYTES, acceptedPacketBytes(info.packetSize));
    return this.#add(local, info);
  }

  #add(local: number, peer: { sender: number; window: number; packetSize: number }): SshChannel {
    const channel = new SshChannel(this, peer);
    this.#slots.set(local, channel);
    this.#alive.add(channel);
    channel.on("close", () => {
      this.#alive.delete(channel);
      this.#waiting.delete(channel);
    });
    channel.on("error", (error) => this.#context.logger.log("debug", "ssh channel", { error: error.message }));
    return channel;
  }

  #confirmed(info: ChannelConfirmation): void {
    const resolve = this.#slots.get(info.recipient);
    if (typeof resolve !== "function") return;
    if (info.packetSize < MIN_PACKET_BYTES) {
      this.#fail(new Error("maximum packet size is too small"));
      return;
    }
    resolve(this.#add(info.recipient, info));
  }

  #refused(recipient: number): void {
    const resolve = this.#slots.get(recipient);
    if (typeof resolve !== "function") return;
    this.#slots.delete(recipient);
    resolve(undefined);
  }

  #channel(recipient: number): SshChannel | undefined {
    const slot = this.#slots.get(recipient);
    return slot instanceof SshChannel ? slot : undefined;
  }

  #mayOpen(): boolean {
    const { maxChannels } = this.#context.limits;
    return this.#slots.size < maxChannels && this.#alive.size < maxChannels;
  }

  #takeNumber(): number {
    while (this.#slots.has(this.#nextChannel)) this.#nextChannel = (this.#nextChannel + 1) >>> 0;
    const number = this.#nextChannel;
    this.#nextChannel = (number + 1) >>> 0;
    return number;
  }

  // Transport

  #room(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const channel of waiting) channel.flush();
  }

  #rekeyWhenDue(): void {
    if (this.#closed || !this.#authenticated || isExchangingKeys(this.#protocol)) return;
    if (this.#packets < REKEY_PACKETS && this.#bytesSinceKey < this.#context.limits.rekeyBytes) return;
    this.#protocol.rekey();
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.#failure = error instanceof Error ? error.message : String(error);
    this.#context.logger.log("info", "ssh connection ended", { error: this.#failure });
    this.#disconnect(DISCONNECT.protocolError);
  }

  #disconnect(reason: number): void {
    if (this.#closed) return;
    try {
      this.#protocol.disconnect(reason);
    } catch (error) {
      // ssh2 has already sent a disconnect of its own and refuses further messages.
      this.#context.logger.log("debug", "disconnect message could not be sent", { error: String(error) });
    }
    this.#transport.finish();
    this.#teardown(undefined);
  }

  #teardown(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    if (error !== undefined) this.#context.logger.log("debug", "ssh stream failed", { error: error.message });
    clearTimeout(this.#timer);
    if (isOver(error)) for (const session of this.#sessions.values()) session.hangUp();
    this.#protocol.cleanup();
    this.#forwards.close();
    const slots = [...this.#slots.values()];
    this.#slots.clear();
    for (const slot of slots) if (typeof slot === "function") slot(undefined);
    for (const channel of [...this.#alive]) channel.receiveClose();
    // A client that drops the stream once its programs have ended has received all of their output.
    const dropped = this.#exit === undefined || this.#programs > 0 ? error?.message : undefined;
    this.#context.onClose({ exit: this.#exit, failure: this.#failure ?? dropped });
  }
}

/**
 * The tunnel aborted the stream because the coordinator reported that the peer left, or the peer restarted as another process.
 */
function isOver(error: Error | undefined): boolean {
  return (error as { code?: unknown } | undefined)?.code === "ERR_ABORTED";
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
