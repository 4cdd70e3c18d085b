/**
 * The worker of one end-to-end terminal. It holds the tunnel, whose private keys exist only in this worker's memory and end with
 * it.
 */
import { connectAgent } from "coder-client/browser";
import { isSame } from "./known-ends.ts";
import type { FarEnd, FromWorker, ToWorker } from "./messages.ts";
import { Session, type SessionParts } from "./session.ts";
import { AgentTunnel } from "./tunnel.ts";

const CONNECT_MS = 15_000;

/** The part of a worker's global scope that is used here. */
interface Scope {
  postMessage(message: FromWorker, transfer?: readonly ArrayBuffer[]): void;
  onmessage: ((event: { readonly data: ToWorker }) => void) | null;
}
const scope = globalThis as unknown as Scope;

const tunnel = new AgentTunnel(
  (agentId) => connectAgent({ url: new URL(location.origin), auth: "cookie", agentId, timeoutMs: CONNECT_MS }),
  {
    show: (view) => scope.postMessage({ kind: "tunnel", tunnel: view }),
    answered: () => session?.beat(),
    trusted: (agentId, end, signal) =>
      new Promise<void>((resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        asking = { end, resolve };
        scope.postMessage({ kind: "end", agentId, end });
      }),
  },
);
/** Whom the page was last asked about. */
let asking: { readonly end: FarEnd; readonly resolve: () => void } | undefined;
let session: Session | undefined;
const parts: SessionParts = {
  tunnel,
  post: (message, transfer) => scope.postMessage(message, transfer),
  isCurrent: (one) => one === session,
};

scope.onmessage = ({ data }) => {
  if (data.kind === "wake") tunnel.wake();
  else if (data.kind === "trust") {
    if (asking !== undefined && isSame(asking.end, data.end)) asking.resolve();
  } else if (data.kind === "open") {
    session?.close();
    session = new Session(data.attempt, parts);
    void session.run(data.agentId, data.init);
  } else if (data.attempt === session?.attempt) {
    if (data.kind === "input") session.input(new Uint8Array(data.bytes));
    else if (data.kind === "taken") session.taken(data.bytes);
    else session.close();
  }
};
