/**
 * Which connections lead to one session of PostgreSQL from their beginning to their end. A pooler gives a client a process id of its
 * own, and lends it other sessions from one transaction to the next: what one of them prepared, another does not know.
 */
import type pg from "pg";

const direct = new WeakSet<pg.ClientBase>();

/** @param backendPid What `pg_backend_pid()` says over the connection. */
export function noteSession(client: pg.ClientBase, backendPid: number): void {
  if ("processID" in client && client.processID === backendPid) direct.add(client);
}

/** Whether the session keeps what is prepared over this connection. */
export function keepsStatements(client: pg.ClientBase): boolean {
  return direct.has(client);
}
