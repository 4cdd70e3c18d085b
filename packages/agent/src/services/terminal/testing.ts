/** Shared by the tests of this folder: a service with programs in this process, and clients on in-memory streams. Not used at run time. */
import type { Duplex } from "node:stream";
import { parseTerminalEvent, type TerminalEvent } from "coder-protocol/terminal/events";
import { OUTPUT_RECORD, REPLAY_RECORD, RecordReader } from "coder-protocol/terminal/records";
import type { Logger } from "wg-userspace/base/ports";
import type { PtyOptions } from "../../host/pty.ts";
import type { ProgramExit } from "../../os/spawn.ts";
import type { WindowSize } from "../../os/terminal-device.ts";
import { duplexPair, eventually } from "../ssh/testing.ts";
import type { TerminalProgram } from "./terminal.ts";
import { TerminalService, type TerminalServiceOptions } from "./terminal-service.ts";

export const ID = "0b7f6e57-5f4c-4a55-8f3d-6b4f4d1c2a10";

/** Timers that fire when a test advances the time. */
export class VirtualTime {
  now = 0;
  readonly #timers = new Set<{ at: number; run: () => void }>();

  readonly schedule = (run: () => void, afterMs: number): (() => void) => {
    const timer = { at: this.now + afterMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  advance(ms: number): void {
    this.now += ms;
    for (const timer of [...this.#timers].filter(({ at }) => at <= this.now)) {
      this.#timers.delete(timer);
      timer.run();
    }
  }
}

/** A program in this process: prints what a test passes it, and records its input. */
export class FakeProgram implements TerminalProgram {
  readonly pid = 2 ** 30; // no process has this id
  readonly options: PtyOptions;
  readonly sizes: WindowSize[] = [];
  readonly screen: Duplex;
  readonly stream: Duplex;
  readonly #exit = Promise.withResolvers<ProgramExit>();
  readonly exited = this.#exit.promise;
  closed = false;

  constructor(options: PtyOptions) {
    this.options = options;
    [this.screen, this.stream] = duplexPair();
  }

  resize({ rows, columns }: WindowSize): void {
    this.sizes.push({ rows, columns });
  }

  close(): void {
    this.closed = true;
    this.exit();
  }

  exit(): void {
    this.#exit.resolve({ code: 0, signal: undefined });
  }

  typed(): string {
    return ((this.screen.read() as Buffer | null) ?? "").toString();
  }
}

export class Fixture {
  readonly time = new VirtualTime();
  readonly programs: FakeProgram[] = [];
  readonly log: string[] = [];
  readonly service: TerminalService;

  constructor(options: Partial<TerminalServiceOptions> = {}) {
    const logger: Logger = {
      level: "debug",
      log: (_level, message, fields) => this.log.push(`${message} ${JSON.stringify(fields)}`),
    };
    this.service = new TerminalService({
      environment: () => ({ CODER: "true", CODER_WORKSPACE_NAME: "dev" }),
      directory: () => undefined,
      user: () => ({ name: "tester", shell: "/bin/bash", home: "/", uid: process.getuid?.() ?? 0 }),
      logger,
      schedule: this.time.schedule,
      clock: () => this.time.now,
      start: (options) => {
        const program = new FakeProgram(options);
        this.programs.push(program);
        return program;
      },
      ...options,
    });
  }

  view(init: Record<string, unknown> = {}): TestViewer {
    return new TestViewer(this.service, { ID, Height: 24, Width: 80, ...init });
  }
}

/** The client's end of one connection. */
export class TestViewer {
  readonly stream: Duplex;
  seen = "";
  ended = false;

  constructor(service: TerminalService, init: unknown, options: { read?: boolean } = {}) {
    const [near, far] = duplexPair();
    this.stream = near;
    service.handleConnection(far, ENDPOINTS);
    near.on("error", () => undefined);
    if (options.read !== false) this.read();
    const json = Buffer.from(JSON.stringify(init));
    const head = Buffer.alloc(2);
    head.writeUInt16LE(json.length);
    near.write(Buffer.concat([head, json]));
  }

  read(): void {
    this.stream.on("data", (chunk: Buffer) => {
      this.seen += chunk.toString("latin1");
    });
    this.stream.on("end", () => {
      this.ended = true;
    });
  }

  send(input: unknown): void {
    this.stream.write(JSON.stringify(input));
  }

  sees(text: string): Promise<void> {
    return eventually(`${JSON.stringify(text)} in ${JSON.stringify(this.seen)}`, () => this.seen.includes(text));
  }
}

export const ENDPOINTS = {
  remote: { address: "fd7a:115c:a1e0::1", port: 4321 },
  local: { address: "fd7a:115c:a1e0::2", port: 2 },
};

/** A viewer that requested records: collects output, replay and events separately. */
export class FramedViewer extends TestViewer {
  readonly events: TerminalEvent[] = [];
  output = "";
  replay = "";

  override read(): void {
    const reader = new RecordReader({
      bytes: (kind, bytes) => {
        const text = Buffer.from(bytes).toString("latin1");
        if (kind === OUTPUT_RECORD) this.output += text;
        if (kind === REPLAY_RECORD) this.replay += text;
      },
      event: (json) => {
        const event = parseTerminalEvent(Buffer.from(json).toString("utf8"));
        if (event === undefined) throw new Error(`no event: ${Buffer.from(json).toString()}`);
        this.events.push(event);
      },
    });
    this.stream.on("data", (chunk: Uint8Array) => {
      const problem = reader.push(chunk);
      if (problem !== undefined) throw new Error(problem);
    });
    this.stream.on("end", () => {
      this.ended = true;
    });
  }

  /** The last event of this type. */
  last<Type extends TerminalEvent["type"]>(type: Type): Extract<TerminalEvent, { type: Type }> | undefined {
    return this.events.findLast((event): event is Extract<TerminalEvent, { type: Type }> => event.type === type);
  }
}
