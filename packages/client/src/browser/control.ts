/** The control connection of a page: WebSocket → yamux → dRPC, redialled until it is no longer needed. */

import { createRpcSession } from "coder-protocol/drpc/async";
import { TAILNET_API_VERSION } from "coder-protocol/version";
import { DIALLER_PINGS, YamuxSession } from "coder-protocol/yamux/session";
import { onAbort } from "wg-userspace/async/abort";
import { silentLogger } from "wg-userspace/base/ports";
import { TailnetSession } from "../control/tailnet-session.ts";
import type { CoordinatedNode } from "../node/coordinated-node.ts";
import type { BrowserDeployment } from "./deployment.ts";
import { keepConnected } from "./keep-connected.ts";
import { openPipe } from "./web-socket.ts";

const DRAIN_CHECK_MS = 10;

export interface ControlOptions {
  readonly deployment: BrowserDeployment;
  readonly agentId: string;
  readonly node: CoordinatedNode;
  readonly signal: AbortSignal;
  readonly onLost: (reason: string) => void;
}

/** Runs until aborted. Never rejects. */
export async function coordinate(options: ControlOptions): Promise<void> {
  const { onLost, signal } = options;
  const connect = async (onOpened: () => void): Promise<string> => {
    await coordinateOnce(options, onOpened);
    return "the server closed the control connection";
  };
  await keepConnected({ connect, onLost, limitMs: 10_000, signal });
}

async function coordinateOnce(
  { deployment, agentId, node, signal }: ControlOptions,
  onOpened: () => void,
): Promise<void> {
  const path = `/api/v2/workspaceagents/${encodeURIComponent(agentId)}/coordinate`;
  const start = await openPipe(
    deployment.webSocketUrl(path, { version: TAILNET_API_VERSION, client: "browser" }),
    [],
    signal,
  );
  onOpened();
  const yamux = new YamuxSession({ role: "client", ...DIALLER_PINGS });
  const rpc = createRpcSession(yamux);
  const { promise: closed, reject: ended } = Promise.withResolvers<never>();
  closed.catch(() => undefined); // handled by the race below
  let timer: ReturnType<typeof setTimeout> | undefined;
  const pump = (): void => {
    clearTimeout(timer);
    for (;;) {
      if (!pipe.writable) {
        timer = setTimeout(pump, DRAIN_CHECK_MS);
        return;
      }
      const output = yamux.takeOutput();
      if (output === undefined) break;
      pipe.send(output);
    }
    const at = yamux.nextTimeout();
    if (at === undefined) return;
    timer = setTimeout(
      () => {
        yamux.handleTimeout(performance.now());
        pump();
      },
      Math.max(1, at - performance.now()),
    );
  };
  const pipe = start({
    onBytes: (bytes) => {
      yamux.handleBytes(bytes, performance.now());
      pump();
    },
    onClosed: (reason) => {
      yamux.handleEnd(reason);
      ended(new Error(reason));
    },
  });
  yamux.onOutput = () => queueMicrotask(pump);
  yamux.handleTimeout(performance.now());
  pump();
  const session = new TailnetSession({
    rpc,
    node,
    destinations: [agentId],
    announcesReady: false,
    logger: silentLogger,
  });
  const leave = (): void => void session.leave().finally(() => ended(signal.reason));
  const stopWatching = onAbort(signal, leave);
  try {
    await Promise.race([session.run(), closed]);
  } finally {
    stopWatching();
    clearTimeout(timer);
    yamux.onOutput = undefined;
    pipe.close();
    node.coordinationLost();
  }
}
