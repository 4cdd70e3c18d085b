/** This tab's end of the stream. */
import { signal } from "@preact/signals";
import { lastAnswerAt } from "../../api/client.ts";
import { socketUrl } from "../../api/socket-url.ts";
import { type Follower, Followers } from "./followers.ts";
import type { FromTab, Subscription, ToTab } from "./messages.ts";
import workerUrl from "./shared-worker.ts?sharedworker&url";
import { workerScript } from "./worker-script.ts";

/** Whether changes currently arrive without requests. */
export const linkUp = signal(false);

const ALIVE_EVERY_MS = 60_000;

const followers = new Followers(post);
let port: MessagePort | undefined;
let login: { readonly userId: string; readonly check: () => Promise<boolean> } | undefined;
let starts = 0;

/**
 * Joins this browser's stream. A stream belongs to one login, so another user in the same browser has another one.
 * @param check Whether the login still holds; called when the server ends the stream.
 */
export async function startLink(userId: string, check: () => Promise<boolean>): Promise<void> {
  login = { userId, check };
  const start = ++starts;
  leavePort();
  const opened = await openPort(userId);
  if (start !== starts) {
    opened.postMessage({ type: "gone" } satisfies FromTab);
    return;
  }
  port = opened;
  port.onmessage = ({ data }: MessageEvent<ToTab>) => take(data);
  followers.joinAll();
}

export function watchTabLife(): void {
  setInterval(() => post({ type: "alive" }), ALIVE_EVERY_MS);
  addEventListener("pagehide", () => post({ type: "gone" }));
  addEventListener("pageshow", ({ persisted }) => {
    // The page came back from the browser's page cache, and the holder has forgotten this tab.
    if (persisted) startAgain();
  });
}

/** Returns the function that ends it. Data that is already known arrives soon, but never within this call. */
export function follow(subscription: Subscription, follower: Follower): () => void {
  return followers.follow(subscription, follower);
}

function startAgain(): void {
  if (login !== undefined) void startLink(login.userId, login.check);
}

function leavePort(): void {
  post({ type: "gone" });
  if (port !== undefined) port.onmessage = null;
  port = undefined;
}

async function openPort(userId: string): Promise<MessagePort> {
  if (typeof SharedWorker === "function") {
    try {
      return new SharedWorker(workerScript(workerUrl), { name: `coder ${userId}` }).port;
    } catch {
      // The browser has no SharedWorker for this page, as in private mode, so this tab holds its own stream.
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
  if (message.type === "link") linkUp.value = message.up;
  else if (message.type === "forgotten") startAgain();
  else if (message.type === "denied") {
    void login?.check().then((holds) => {
      if (holds) post({ type: "retry" });
    });
  } else {
    lastAnswerAt.value = Date.now();
    followers.received(message);
  }
}
