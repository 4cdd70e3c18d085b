/** Intermediaries between two programs of a test: a balancer, and a path that can fall silent. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Accepts connections on its own port, and ends all of them when it is closed. */
abstract class TcpListener {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  constructor() {
    this.#server = createServer((socket) => {
      this.own(socket);
      this.onConnection(socket);
    });
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  protected abstract onConnection(socket: Socket): void;

  protected own(socket: Socket): void {
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#sockets.delete(socket));
  }
}

const CHECK_MS = 200;
const CHECK_TIMEOUT_MS = 2_000;
/** The requests with which an agent and a client open their control connection. */
const CONTROL = /^GET \/api\/v2\/workspaceagents\/[^/]+\/(?:coordinate|rpc)\b/;

/**
 * Passes each connection to the next server in turn. Like any balancer it polls `/readyz`; it skips servers that are not ready
 * while another is, and those that refuse a connection.
 */
export class Balancer extends TcpListener {
  readonly #ports: readonly number[];
  readonly #isReady: boolean[];
  readonly #checks: NodeJS.Timeout;
  /** Connections that became control connections of peers; they may have carried other requests before. */
  readonly #control = new Set<Socket>();
  #next = 0;
  /** Index of the server that gets new connections first; undefined for each in turn. */
  preferred: number | undefined;

  constructor(ports: readonly number[]) {
    super();
    this.#ports = ports;
    this.#isReady = ports.map(() => true);
    this.#checks = setInterval(() => {
      for (const index of ports.keys()) void this.#check(index);
    }, CHECK_MS);
  }

  override async close(): Promise<void> {
    clearInterval(this.#checks);
    await super.close();
  }

  /** The open control connections of peers. */
  get control(): ReadonlySet<Socket> {
    return new Set(this.#control);
  }

  async #check(index: number): Promise<void> {
    const signal = AbortSignal.timeout(CHECK_TIMEOUT_MS);
    this.#isReady[index] = await fetch(`http://127.0.0.1:${this.#ports[index]}/readyz`, { signal }).then(
      async (answer) => {
        await answer.body?.cancel();
        return answer.ok;
      },
      () => false, // the server does not listen
    );
  }

  protected override onConnection(socket: Socket): void {
    const { preferred } = this;
    const first = this.#next++;
    const inTurn = this.#ports.map((_, offset) => (first + offset) % this.#ports.length);
    const order = [
      ...inTurn.filter((index) => index === preferred),
      ...inTurn.filter((index) => index !== preferred && this.#isReady[index]),
      ...inTurn.filter((index) => index !== preferred && !this.#isReady[index]),
    ];
    this.#pass(socket, order);
  }

  #pass(socket: Socket, [index, ...others]: readonly number[]): void {
    const onward = connect(this.#ports[index!]!, "127.0.0.1");
    this.own(onward);
    onward.once("connect", () => {
      onward.removeAllListeners("error");
      socket.on("data", (chunk: Buffer) => {
        if (CONTROL.test(chunk.toString("latin1"))) this.#control.add(socket);
      });
      socket.once("close", () => this.#control.delete(socket));
      for (const [from, to] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        from.on("error", () => to.destroy());
        from.on("close", () => to.destroy());
        from.pipe(to);
      }
    });
    onward.once("error", () => {
      if (others.length > 0 && !socket.destroyed) this.#pass(socket, others);
      else socket.destroy();
    });
  }
}

/**
 * A path to one port. While it is cut, it drops every byte and passes on no end of a connection, like a network that drops
 * packets. Connections from which it dropped bytes stay silent after it is mended, as behind a firewall that forgot them.
 */
export class Path extends TcpListener {
  readonly #to: number;
  readonly #silent = new WeakSet<Socket>();
  readonly #passing = new Set<Socket>();
  #isCut = false;

  constructor(to: number) {
    super();
    this.#to = to;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#passing) this.#silent.add(socket);
  }

  mend(): void {
    this.#isCut = false;
  }

  protected override onConnection(socket: Socket): void {
    if (this.#isCut) {
      this.#silent.add(socket);
      socket.resume();
      return;
    }
    const onward = connect(this.#to, "127.0.0.1");
    this.own(onward);
    this.#carry(socket, onward);
    this.#carry(onward, socket);
  }

  #carry(from: Socket, to: Socket): void {
    this.#passing.add(from);
    from.on("data", (chunk) => {
      if (this.#silent.has(from) || to.destroyed) return;
      if (to.write(chunk)) return;
      from.pause();
      to.once("drain", () => from.resume());
    });
    from.once("end", () => {
      if (!this.#silent.has(from)) to.end();
    });
    from.once("close", () => {
      this.#passing.delete(from);
      if (!this.#silent.has(from)) to.destroy();
    });
  }
}
