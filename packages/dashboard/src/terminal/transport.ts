/**
 * What carries a terminal between the page and the agent. The page knows no more of it than this: the server's WebSocket is
 * one such carrier ({@link ./web-socket-transport.ts}).
 */
import type { TerminalControl, TerminalEvent } from "coder-protocol/terminal/events";

/** The program that is asked for, and how. */
export interface TerminalTarget {
  readonly agentId: string;
  /** The same id finds the same program again. */
  readonly id: string;
  /** Run by the login shell; empty for the shell itself. */
  readonly command: string;
  readonly container?: string | undefined;
  readonly containerUser?: string | undefined;
  /** How long the program runs on without viewers. */
  readonly keepSeconds: number;
  /** Watches only: keys and sizes go nowhere. */
  readonly readOnly: boolean;
}

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

/** Why a connection ended, or was never made. */
export type TransportEnd =
  /** The program ended. */
  | { readonly kind: "ended" }
  /** The right to the workspace ended. */
  | { readonly kind: "denied" }
  /** Another viewer asked the others to leave. */
  | { readonly kind: "replaced" }
  /** What carries the terminal restarts. */
  | { readonly kind: "restarting" }
  /** A message was too long: a fault of the page. */
  | { readonly kind: "too-long" }
  /** `reason` is one short plain sentence without a full stop; empty where it is not known. */
  | { readonly kind: "lost"; readonly reason: string }
  /** The carrier cannot tell: an ordinary request may find the cause. */
  | { readonly kind: "unknown" };

export interface TransportEvents {
  /** Once, before anything else. */
  opened(): void;
  /** @param bytes Owned by the receiver. */
  output(bytes: Uint8Array): void;
  event(event: TerminalEvent): void;
  /** Once, and nothing after it; not after {@link TerminalTransport.close}. */
  closed(end: TransportEnd): void;
}

/** One attempt to connect and what comes of it; never used for a second one. */
export interface TerminalTransport {
  /** @returns false: nothing was sent, as there is no connection. */
  input(message: { readonly data: string } | { readonly width: number; readonly height: number }): boolean;
  /** Only after an event "hello": only such peers know controls. */
  control(control: TerminalControl): void;
  close(): void;
}

export type OpenTransport = (target: TerminalTarget, size: TerminalSize, events: TransportEvents) => TerminalTransport;
