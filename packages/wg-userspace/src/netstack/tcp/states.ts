/** The transitions of RFC 9293 §3.3.2 that end a direction of a connection. */
import type { TcpState } from "./contract.ts";

/** Whether the user may still write: our FIN is not decided yet. */
export function mayWriteIn(state: TcpState): boolean {
  return state === "SYN_SENT" || state === "SYN_RECEIVED" || state === "ESTABLISHED" || state === "CLOSE_WAIT";
}

/** Our FIN follows all written data. In the SYN states it follows the handshake, and the state stays. */
export function afterEnd(state: TcpState): TcpState {
  if (state === "ESTABLISHED") return "FIN_WAIT_1";
  return state === "CLOSE_WAIT" ? "LAST_ACK" : state;
}

/** The peer's FIN arrived, and everything before it. */
export function afterPeerFin(state: TcpState): TcpState {
  if (state === "ESTABLISHED" || state === "SYN_RECEIVED") return "CLOSE_WAIT";
  if (state === "FIN_WAIT_1") return "CLOSING";
  return state === "FIN_WAIT_2" ? "TIME_WAIT" : state;
}

/** The peer acknowledged our FIN. */
export function afterFinAcknowledged(state: TcpState): TcpState {
  if (state === "FIN_WAIT_1") return "FIN_WAIT_2";
  if (state === "CLOSING") return "TIME_WAIT";
  return state === "LAST_ACK" ? "CLOSED" : state;
}
