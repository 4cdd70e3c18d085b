/** What a page and its worker with the tunnel send each other. Bytes are transferred, not copied. */
import type { TransportEnd } from "../terminal/transport.ts";

/** Output that the page has not taken yet; the worker reads no more from the workspace beyond this. */
export const OUTPUT_CREDIT_BYTES = 256 * 1024;
/** Input that the tunnel has not taken yet; the page accepts no more beyond this. */
export const INPUT_CREDIT_BYTES = 1024 * 1024;

/** The first message of the agent's terminal protocol, with its names. */
export type TerminalInit = Readonly<Record<string, string | number | boolean>>;

export type ToWorker =
  /** Connects where there is no tunnel, and opens the terminal. `attempt` numbers what belongs to it. */
  | { readonly kind: "open"; readonly attempt: number; readonly agentId: string; readonly init: TerminalInit }
  | { readonly kind: "input"; readonly attempt: number; readonly bytes: ArrayBuffer }
  | { readonly kind: "taken"; readonly attempt: number; readonly bytes: number }
  | { readonly kind: "close"; readonly attempt: number }
  /** The page is shown again: timers were late. */
  | { readonly kind: "wake" };

export type FromWorker = FromTerminal | { readonly kind: "tunnel"; readonly tunnel: TunnelView };

/** About one attempt. */
export type FromTerminal =
  | { readonly kind: "opened"; readonly attempt: number }
  | { readonly kind: "output"; readonly attempt: number; readonly bytes: ArrayBuffer }
  /** One event of the terminal as JSON. */
  | { readonly kind: "event"; readonly attempt: number; readonly text: string }
  | { readonly kind: "sent"; readonly attempt: number; readonly bytes: number }
  | { readonly kind: "closed"; readonly attempt: number; readonly end: TransportEnd };

export type TunnelView =
  | { readonly kind: "connecting" }
  | {
      readonly kind: "up";
      readonly region: string;
      readonly latencyMs: number | undefined;
      /** Public keys of WireGuard, in hexadecimal. */
      readonly ownKey: string;
      readonly agentKey: string;
    }
  /** `final`: trying again changes nothing. */
  | { readonly kind: "failed"; readonly reason: string; readonly final: boolean };
