/**
 * What carries a terminal between the page and the agent. This interface is all that the page knows of it; the server's WebSocket
 * is one implementation ({@link ./web-socket-transport.ts}).
 */
import type { TerminalControl, TerminalEvent } from "coder-protocol/terminal/events";

/** The requested program, and how to show it. */
export interface TerminalTarget {
  readonly agentId: string;
  /** The same id finds the same program again. */
  readonly id: string;
  /** Run by the login shell; empty for the shell itself. */
  readonly command: string;
  readonly container?: string | undefined;
  readonly containerUser?: string | undefined;
  /** How long the program runs on without viewers, in seconds. */
  readonly keepSeconds: number;
  /** Only watches: keys and sizes are not sent. */
  readonly readOnly: boolean;
}

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

/** Why a connection ended, or was never made. */
export type TransportEnd =
  /** The program has ended. */
  | { readonly kind: "ended" }
  /** The permission for the workspace has ended. */
  | { readonly kind: "denied" }
  /** Another viewer asked the others to leave. */
  | { readonly kind: "replaced" }
  /** The carrier of the terminal is restarting. */
  | { readonly kind: "restarting" }
  /** A message was too long, which is a bug of the page. */
  | { readonly kind: "too-long" }
  /** `reason` is one short plain sentence without a full stop, or empty when it is unknown. */
  | { readonly kind: "lost"; readonly reason: string }
  /** The carrier does not know; an ordinary request may find the cause. */
  | { readonly kind: "unknown" };

export interface TransportEvents {
  /** Called once, before anything else. */
  opened(): void;
  /** @param bytes Owned by the receiver. */
  output(bytes: Uint8Array): void;
  event(event: TerminalEvent): void;
  /** Called once and last; not after {@link TerminalTransport.close}. */
  closed(end: TransportEnd): void;
}

/** One attempt to connect and the resulting connection; not reused. */
export interface TerminalTransport {
  /** @returns False when nothing was sent because there is no connection. */
  input(message: { readonly data: string } | { readonly width: number; readonly height: number }): boolean;
  /** Only after a "hello" event: other peers do not know controls. */
  control(control: TerminalControl): void;
  close(): void;
}

export type OpenTransport = (target: TerminalTarget, size: TerminalSize, events: TransportEvents) => TerminalTransport;
