import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, expect, test } from "vitest";
import type { AppDecision } from "./decision.ts";
import { ProgramPools } from "./program-pool.ts";

const decision = { target: { agentId: "a", port: 8080, secure: false } } as unknown as AppDecision;
const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst";

/** A program that answers one request per connection and ends the connection in the same turn. Later requests on it are lost. */
class Program {
  connections = 0;
  readonly #held: (() => void)[] = [];
  #holds = false;
  readonly #open: Duplex[] = [];
  #isGone = false;
  readonly pools = new ProgramPools(async () => {
    if (this.#isGone) throw new Error("connection refused");
    return this.#connection();
  });

  hold(): void {
    this.#holds = true;
  }

  release(): void {
    this.#holds = false;
    for (const answer of this.#held.splice(0)) answer();
  }

  /** Its connections are reset, and no other is accepted. */
  end(): void {
    this.#isGone = true;
    for (const stream of this.#open) stream.destroy(new Error("reset"));
  }

  async get(): Promise<string> {
    const sent = request({ agent: this.pools.of(decision), decision } as never);
    sent.end();
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    return await text(answer);
  }

  #connection(): Duplex {
    this.connections++;
    let answered = false;
    const answer = (): void => {
      stream.push(ANSWER);
      stream.push(null);
    };
    const stream = new Duplex({
      read: () => undefined,
      write: (_chunk, _encoding, done) => {
        done();
        if (answered) return;
        answered = true;
        if (this.#holds) this.#held.push(answer);
        else setImmediate(answer);
      },
    });
    this.#open.push(stream);
    return stream;
  }
}

let program: Program;
afterEach(() => program.pools.close());

test("a connection that ended with its answer is not used for the next request", async () => {
  program = new Program();
  for (let i = 1; i <= 3; i++) {
    expect(await program.get()).toBe("first");
    expect(program.connections).toBe(i);
  }
});

test("requests that last, such as event streams, hold up no other", async () => {
  program = new Program();
  program.hold();
  const lasting = Array.from({ length: 100 }, () => program.get());
  await expect.poll(() => program.connections).toBe(100);
  program.release();
  expect(await Promise.all(lasting)).toEqual(Array.from({ length: 100 }, () => "first"));
});

test("every request fails when the program ends and cannot be reached again", async () => {
  program = new Program();
  program.hold();
  const lasting = Array.from({ length: 100 }, () => program.get());
  await expect.poll(() => program.connections).toBe(100);
  program.end();
  for (const end of await Promise.allSettled(lasting)) expect(end.status).toBe("rejected");
  await expect(program.get()).rejects.toThrow("refused");
});
