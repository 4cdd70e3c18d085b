/**
 * A terminal over the server's WebSocket. A server that does not support control frames ignores the parameters that request them.
 */
import { parseTerminalEvent } from "coder-protocol/terminal/events";
import type { TerminalSize, TerminalTarget, TerminalTransport, TransportEnd, TransportEvents } from "./transport.ts";

/** Close codes of RFC 6455 §7.4.1, and one of our own. */
const ENDS: Readonly<Record<number, TransportEnd>> = {
  1000: { kind: "ended" },
  1001: { kind: "restarting" },
  1008: { kind: "denied" },
  1009: { kind: "too-long" },
  4000: { kind: "replaced" },
};
const CLOSE_INTERNAL = 1011;

/** Opens a terminal at a WebSocket address. */
export function openSocket(address: string, events: TransportEvents): TerminalTransport {
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  let over = false;
  socket.onopen = () => {
    if (!over) events.opened();
  };
  socket.onmessage = ({ data }) => {
    if (over) return;
    if (data instanceof ArrayBuffer) {
      events.output(new Uint8Array(data));
      return;
    }
    const event = parseTerminalEvent(String(data));
    if (event !== undefined) events.event(event);
  };
  socket.onclose = ({ code, reason }) => {
    if (over) return;
    over = true;
    events.closed(code === CLOSE_INTERNAL ? { kind: "lost", reason } : (ENDS[code] ?? { kind: "unknown" }));
  };
  const encoder = new TextEncoder();
  return {
    input: (message) => {
      if (socket.readyState !== WebSocket.OPEN) return false;
      // Binary, because text frames are controls and stock servers accept none.
      socket.send(encoder.encode(JSON.stringify(message)));
      return true;
    },
    control: (control) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(control));
    },
    close: () => {
      over = true;
      socket.close();
    },
  };
}

/** Path below /api/v2. */
export function ptyPath(target: TerminalTarget, { cols, rows }: TerminalSize): string {
  const query = new URLSearchParams({
    reconnect: target.id,
    width: String(cols),
    height: String(rows),
    control: "1",
    keep: String(target.keepSeconds),
  });
  if (target.readOnly) query.set("mode", "ro");
  if (target.command !== "") query.set("command", target.command);
  if (target.container !== undefined) query.set("container", target.container);
  if (target.containerUser !== undefined) query.set("container_user", target.containerUser);
  return `/workspaceagents/${target.agentId}/pty?${query}`;
}
