/** This tab's end of the stream. */
import { signal } from "@preact/signals";
import { ApiError, lastAnswerAt } from "../../api/client.ts";
import { socketUrl } from "../../api/socket-url.ts";
import { type Data, type FromTab, patched, type Subscription, type ToTab } from "./messages.ts";
import workerUrl from "./shared-worker.ts?sharedworker&url";
import { workerScript } from "./worker-script.ts";

/** Whether changes arrive by themselves right now. */
export const linkUp = signal(false);

const ALIVE_EVERY_MS = 60_000;

export interface Follower {
  data(data: Data): void;
  error(error: ApiError): void;
}

interface Followed {
  readonly subscription: Subscription;
  readonly follower: Follower;
  data: Data | undefined;
}

const followed = new Map<string, Followed>();
let port: MessagePort | undefined;
let login: { readonly userId: string; readonly check: () => Promise<boolean> } | undefined;

/**
 * Joins the stream of this browser. It belongs to one login: a browser in which another person logs in has another one.
 * @param check Whether the login still holds, asked when the server ends the stream.
 */
export async function startLink(userId: string, check: () => Promise<boolean>): Promise<void> {
  login = { userId, check };
  post({ type: "gone" });
  port = await openPort(userId);
  port.onmessage = ({ data }: MessageEvent<ToTab>) => take(data);
  for (const [key, { subscription }] of followed) post({ type: "join", key, ...subscription });
}

export function watchTabLife(): void {
  setInterval(() => post({ type: "alive" }), ALIVE_EVERY_MS);
  addEventListener("pagehide", () => post({ type: "gone" }));
  addEventListener("pageshow", ({ persisted }) => {
    // Back from the cache of pages: the holder has forgotten this tab.
    if (persisted && login !== undefined) void startLink(login.userId, login.check);
  });
}

/** Returns the function that ends it. */
export function follow(subscription: Subscription, follower: Follower): () => void {
  const key = `${subscription.topic} ${JSON.stringify(subscription.args)} ${nextFollower++}`;
  followed.set(key, { subscription, follower, data: undefined });
  post({ type: "join", key, ...subscription });
  return () => {
    followed.delete(key);
    post({ type: "leave", key });
  };
}

let nextFollower = 0;

async function openPort(userId: string): Promise<MessagePort> {
  if (typeof SharedWorker === "function") {
    try {
      return new SharedWorker(workerScript(workerUrl), { name: `coder ${userId}` }).port;
    } catch {
      // A browser that has none for this page, such as one in private mode: this tab holds its own stream.
    }
  }
  const { Hub } = await import("./hub.ts");
  const { port1, port2 } = new MessageChannel();
  new Hub(socketUrl("/dashboard/stream")).attach(port2);
  return port1;
}

function post(message: FromTab): void {
  port?.postMessage(message);
}

function take(message: ToTab): void {
  if (message.type === "link") {
    linkUp.value = message.up;
    return;
  }
  if (message.type === "denied") {
    void login?.check().then((holds) => {
      if (holds) post({ type: "retry" });
    });
    return;
  }
  lastAnswerAt.value = Date.now();
  const entry = followed.get(message.key);
  if (entry === undefined) return;
  if (message.type === "error") {
    entry.follower.error(new ApiError(message.status, { message: message.message }));
    return;
  }
  entry.data = message.type === "snapshot" ? message.data : patched(entry.data ?? {}, message.set, message.del);
  entry.follower.data(entry.data);
}
