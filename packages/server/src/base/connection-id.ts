/**
 * Ids of the control connections of agents. Those of one agent sort in the order in which they began, at whatever server: a
 * connection whose arrival is stored late does not take the place of a later one. The form is that of RFC 9562 §5.7: the time, then
 * random bits.
 */
import { randomUUID } from "node:crypto";

const VERSION = "7";
const VERSION_AT = 14;
const TIME_DIGITS = 12;

/**
 * An id behind `previous`, which earlier connections of the agent had, even if the clocks of two servers differ.
 * @param nowMs By the time of the database, where there is one for several servers.
 */
export function connectionId(nowMs: number, ...previous: readonly string[]): string {
  const ms = Math.max(nowMs, ...previous.filter(isOrdered).map((id) => timeOf(id) + 1));
  const time = Math.trunc(ms).toString(16).padStart(TIME_DIGITS, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-${VERSION}${randomUUID().slice(VERSION_AT + 1)}`;
}

/** Whether connectionId made it; earlier releases had random ones. */
export function isOrdered(id: string): boolean {
  return id.length === 36 && id[VERSION_AT] === VERSION;
}

function timeOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
