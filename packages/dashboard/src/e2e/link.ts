/** The page's end of the worker that holds the tunnel. Each terminal has a worker, started when the terminal is opened. */
import { type Signal, signal } from "@preact/signals";
import { parseTerminalEvent, type TerminalControl } from "coder-protocol/terminal/events";
import { workerScript } from "../live/stream/worker-script.ts";
import type { OpenTransport, TerminalSize, TerminalTarget, TransportEvents } from "../terminal/transport.ts";
import { isSame, KnownEnds } from "./known-ends.ts";
import {
  type FarEnd,
  type FromTerminal,
  type FromWorker,
  INPUT_CREDIT_BYTES,
  type TerminalInit,
  type ToWorker,
  type TunnelView,
} from "./messages.ts";
import workerUrl from "./worker.ts?worker&url";

interface Attempt {
  readonly number: number;
  readonly events: TransportEvents;
  /** Bytes of input that the tunnel has not accepted yet. */
  unsent: number;
  /** The last acknowledgement, if it has to wait for the tunnel. It must not be lost, or the agent would send no more. */
  waitingAck: TerminalControl | undefined;
}

/** Loads nothing before a terminal is opened. */
export class EndToEnd {
  readonly tunnel: Signal<TunnelView> = signal<TunnelView>({ kind: "connecting" });
  readonly #life = new AbortController();
  readonly #known = new KnownEnds(localStorage, () => Date.now());
  #worker: Worker | undefined;
  #attempts = 0;
  #current: Attempt | undefined;

  readonly open: OpenTransport = (target, size, events) => {
    this.#start();
    const attempt: Attempt = { number: ++this.#attempts, events, unsent: 0, waitingAck: undefined };
    this.#current = attempt;
    this.#send({ kind: "open", attempt: attempt.number, agentId: target.agentId, init: initOf(target, size) });
    return {
      input: (message) => this.#write(attempt, message),
      control: (control) => this.#control(attempt, control),
      close: () => {
        if (this.#current === attempt) this.#current = undefined;
        this.#send({ kind: "close", attempt: attempt.number });
      },
    };
  };

  /** A person trusts what is at the other end of the tunnels to this agent now. */
  trust(agentId: string, end: FarEnd): void {
    try {
      this.#known.trust(agentId, end);
    } catch (error) {
      const reason = `This browser cannot keep who the workspace is: ${String(error)}`;
      this.tunnel.value = { kind: "failed", reason, final: true };
      return;
    }
    this.tunnel.value = { kind: "connecting" };
    this.#send({ kind: "trust", end });
  }

  /** A person may have trusted it in another terminal of this browser meanwhile. */
  lookAgain(): void {
    const tunnel = this.tunnel.peek();
    if (tunnel.kind === "changed") this.#found(tunnel.agentId, tunnel.found);
  }

  close(): void {
    this.#life.abort();
    // Frees its memory, and with it the keys.
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #start(): void {
    if (this.#worker !== undefined) return;
    const worker = new Worker(workerScript(workerUrl), { type: "module", name: "end-to-end tunnel" });
    worker.onmessage = ({ data }) => this.#received(data as FromWorker);
    worker.onerror = ({ message }) => {
      const reason = message || "The tunnel's program could not be loaded";
      this.tunnel.value = { kind: "failed", reason, final: false };
      this.#current?.events.closed({ kind: "lost", reason });
      this.#current = undefined;
    };
    this.#worker = worker;
    const shown = (): void => {
      if (document.visibilityState === "visible") this.#send({ kind: "wake" });
    };
    document.addEventListener("visibilitychange", shown, { signal: this.#life.signal });
  }

  #send(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker?.postMessage(message, transfer);
  }

  #write(attempt: Attempt, message: object): boolean {
    if (this.#current !== attempt || attempt.unsent > INPUT_CREDIT_BYTES) return false;
    const bytes = new TextEncoder().encode(JSON.stringify(message));
    attempt.unsent += bytes.length;
    this.#send({ kind: "input", attempt: attempt.number, bytes: bytes.buffer }, [bytes.buffer]);
    return true;
  }

  #control(attempt: Attempt, control: TerminalControl): void {
    const sent = this.#write(attempt, control);
    if (control.type === "ack") attempt.waitingAck = sent ? undefined : control;
  }

  #received(message: FromWorker): void {
    if (message.kind === "tunnel") {
      if (this.tunnel.peek().kind === "changed") return; // a person is asked
      // A failure stays shown until there is a tunnel, so that the question about it does not come and go with every attempt.
      const retries = message.tunnel.kind === "connecting" && this.tunnel.peek().kind === "failed";
      if (!retries) this.tunnel.value = message.tunnel;
      return;
    }
    if (message.kind === "end") {
      this.#found(message.agentId, message.end);
      return;
    }
    const current = this.#current;
    if (message.attempt === current?.number) this.#receivedFor(current, message);
  }

  #found(agentId: string, end: FarEnd): void {
    const known = this.#known.of(agentId);
    if (known === undefined) this.trust(agentId, end);
    else if (isSame(known, end)) {
      if (this.tunnel.peek().kind === "changed") this.tunnel.value = { kind: "connecting" };
      this.#send({ kind: "trust", end });
    } else this.tunnel.value = { kind: "changed", agentId, known, found: end };
  }

  #receivedFor(current: Attempt, message: FromTerminal): void {
    const { events } = current;
    switch (message.kind) {
      case "opened":
        events.opened();
        break;
      case "output":
        this.#send({ kind: "taken", attempt: message.attempt, bytes: message.bytes.byteLength });
        events.output(new Uint8Array(message.bytes));
        break;
      case "event": {
        const event = parseTerminalEvent(message.text);
        if (event !== undefined) events.event(event);
        break;
      }
      case "sent":
        current.unsent -= message.bytes;
        if (current.waitingAck !== undefined) this.#control(current, current.waitingAck);
        break;
      case "closed":
        this.#current = undefined;
        events.closed(message.end);
        break;
    }
  }
}

function initOf(target: TerminalTarget, { cols, rows }: TerminalSize): TerminalInit {
  return {
    ID: target.id,
    Height: rows,
    Width: cols,
    Command: target.command,
    Container: target.container ?? "",
    ContainerUser: target.containerUser ?? "",
    BackendType: "",
    KeepSeconds: target.keepSeconds,
    ReadOnly: target.readOnly,
  };
}
