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
  readonly pools = new ProgramPools(async () => this.#connection());

  hold(): void {
    this.#holds = true;
  }

  release(): void {
    this.#holds = false;
    for (const answer of this.#held.splice(0)) answer();
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

test("a connection that ended with its answer is not given to a waiting request", async () => {
  program = new Program();
  program.hold();
  const answers = Array.from({ length: 64 }, () => program.get());
  await expect.poll(() => program.connections).toBe(64);
  const waiting = [program.get(), program.get()];
  program.release();
  expect(await Promise.all([...answers, ...waiting])).toEqual(Array.from({ length: 66 }, () => "first"));
  expect(program.connections).toBe(66);
});
