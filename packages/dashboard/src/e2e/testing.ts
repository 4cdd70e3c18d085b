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

  fetch(): Promise<Response> {
    return this.capabilities();
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
