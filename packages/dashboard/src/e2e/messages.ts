/** Messages between a page and its worker with the tunnel. Bytes are transferred, not copied. */
import type { TransportEnd } from "../terminal/transport.ts";

/** Limit of output that the page has not accepted yet; beyond it the worker stops reading from the workspace. */
export const OUTPUT_CREDIT_BYTES = 256 * 1024;
/** Limit of input that the tunnel has not accepted yet; beyond it the page accepts no more. */
export const INPUT_CREDIT_BYTES = 1024 * 1024;

/** The first message of the agent's terminal protocol, with that protocol's field names. */
export type TerminalInit = Readonly<Record<string, string | number | boolean>>;

export type ToWorker =
  /** Opens the terminal, connecting first if there is no tunnel. `attempt` identifies the messages that belong to it. */
  | { readonly kind: "open"; readonly attempt: number; readonly agentId: string; readonly init: TerminalInit }
  | { readonly kind: "input"; readonly attempt: number; readonly bytes: ArrayBuffer }
  | { readonly kind: "taken"; readonly attempt: number; readonly bytes: number }
  | { readonly kind: "close"; readonly attempt: number }
  /** This far end may be given a terminal. */
  | { readonly kind: "trust"; readonly end: FarEnd }
  /** The page is visible again, and timers ran late while it was hidden. */
  | { readonly kind: "wake" };

export type FromWorker =
  | FromTerminal
  | { readonly kind: "tunnel"; readonly tunnel: TunnelView }
  /** There is a tunnel to this far end; terminals wait until the page trusts it. */
  | { readonly kind: "end"; readonly agentId: string; readonly end: FarEnd };

/** Who is at the other end of a tunnel: a public key in hexadecimal. */
export interface FarEnd {
  /** `identity` lasts as long as the machine; `key` is that of WireGuard, of an agent without one. */
  readonly kind: "identity" | "key";
  readonly key: string;
}

/** Messages about one attempt. */
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
      /** WireGuard public keys, in hexadecimal. */
      readonly ownKey: string;
      readonly agentKey: string;
      readonly end: FarEnd;
    }
  /** Another one is there than before, and a person has not said yet whether to trust it. */
  | {
      readonly kind: "changed";
      readonly agentId: string;
      readonly known: FarEnd & { readonly since: number };
      readonly found: FarEnd;
    }
  /** `final`: another attempt cannot succeed. */
  | { readonly kind: "failed"; readonly reason: string; readonly final: boolean };
