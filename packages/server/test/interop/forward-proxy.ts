/**
 * A proxy like those of organisations: requests with absolute URLs, and CONNECT. Names that no resolver knows lead to one
 * address.
 */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";

export class ForwardProxy implements AsyncDisposable {
  /** The requests so far: `GET http://host/path`, `CONNECT host:port`. */
  readonly asked: string[] = [];
  readonly #server: Server;
  readonly #target: number;
  readonly #sockets = new Set<Duplex>();

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((asked, answer) => this.#forward(asked, answer));
    this.#server.on("connect", (asked: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#tunnel(asked, socket, head),
    );
  }

  /** @param target Port on this machine to which everything is forwarded. */
  static async start(target: number): Promise<ForwardProxy> {
    const proxy = new ForwardProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #forward(asked: IncomingMessage, answer: ServerResponse): void {
    this.asked.push(`${asked.method} ${asked.url}`);
    const { pathname, search } = new URL(asked.url ?? "");
    const host = `127.0.0.1:${this.#target}`;
    const options = { port: this.#target, host: "127.0.0.1", path: pathname + search, method: asked.method };
    const onward = request({ ...options, headers: { ...asked.headers, host } }, (found) => {
      answer.writeHead(found.statusCode ?? 502, found.headers);
      found.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    asked.pipe(onward);
  }

  #tunnel(asked: IncomingMessage, socket: Socket, head: Buffer): void {
    this.asked.push(`CONNECT ${asked.url}`);
    const onward = connect(this.#target, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    for (const one of [socket, onward]) {
      this.#sockets.add(one);
      // When one side of a tunnel ends, so does the other.
      one
        .on("error", () => undefined)
        .on("close", () => {
          this.#sockets.delete(one);
          socket.destroy();
          onward.destroy();
        });
    }
  }
}
