/** Shared by the tests of this folder: a workspace that the test controls. Not used at run time. */
import type { TunnelWorkspace } from "./tunnel.ts";

export class FakeWorkspace implements TunnelWorkspace {
  readonly ends = { own: Uint8Array.of(1), agent: Uint8Array.of(0xab), region: "here" };
  readonly terminal = new TransformStream<Uint8Array, Uint8Array>();
  readonly typed = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, { highWaterMark: 1_000 });
  capabilities: () => Promise<Response> = async () => Response.json({ terminal_framing: 1 });
  /** Answers to echo requests, in the order of the requests. */
  readonly echoes: PromiseWithResolvers<number>[] = [];
  closed = 0;

  /** Answers the question for its identity. */
  identity: (challenge: Uint8Array) => Promise<Response> = async () => new Response(null, { status: 404 });

  fetch(_port: number, path: string): Promise<Response> {
    const [, challenge] = path.split("?challenge=");
    return challenge === undefined ? this.capabilities() : this.identity(bytesOf(challenge));
  }

  hold(): Uint8Array {
    return this.ends.agent;
  }

  async dial() {
    const { readable } = this.terminal;
    return {
      readable,
      writable: this.typed.writable,
      abort: () => void this.typed.writable.abort().catch(() => undefined),
    };
  }

  ping(): Promise<number> {
    const echo = Promise.withResolvers<number>();
    this.echoes.push(echo);
    return echo.promise;
  }

  wake(): void {}

  async close(): Promise<void> {
    this.closed++;
  }
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
