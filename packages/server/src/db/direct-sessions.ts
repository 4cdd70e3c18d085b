/**
 * Remembers which connections use the same session of PostgreSQL from beginning to end, so that prepared statements stay available.
 * A pooler may use another session for each transaction. It is recognised by the process id that it gives to its clients, which is not
 * that of the session.
 */
import type pg from "pg";

const direct = new WeakSet<pg.ClientBase>();

/** @param backendPid The result of `pg_backend_pid()` on the connection. */
export function noteSession(client: pg.ClientBase, backendPid: number): void {
  if ("processID" in client && client.processID === backendPid) direct.add(client);
}

/** Whether statements that are prepared on the connection stay available. */
export function keepsStatements(client: pg.ClientBase): boolean {
  return direct.has(client);
}
