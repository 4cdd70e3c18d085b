/**
 * Ids of the control connections of agents. The ids of one agent sort in the order in which its connections began, at any server,
 * so that a connection that is stored late does not replace a newer one. The format is that of RFC 9562 §5.7: the time, then random
 * bits.
 */
import { randomUUID } from "node:crypto";

const VERSION = "7";
const VERSION_AT = 14;
const TIME_DIGITS = 12;

/**
 * Makes an id that sorts after the ids in `previous`, those of the agent's earlier connections, even if the clocks of two servers
 * differ.
 * @param nowMs The database's time, if several servers share a database.
 */
export function connectionId(nowMs: number, ...previous: readonly string[]): string {
  const ms = Math.max(nowMs, ...previous.filter(isOrdered).map((id) => timeOf(id) + 1));
  const time = Math.trunc(ms).toString(16).padStart(TIME_DIGITS, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-${VERSION}${randomUUID().slice(VERSION_AT + 1)}`;
}

/** Whether `connectionId` made the id. Earlier releases used random ones. */
export function isOrdered(id: string): boolean {
  return id.length === 36 && id[VERSION_AT] === VERSION;
}

function timeOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
