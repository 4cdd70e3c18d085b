/** Where a forward listens on this machine. */
import { UserError } from "../errors/user-error.ts";
import { type ForwardProtocol, formatEnd } from "./spec.ts";

export interface ListenAddress {
  readonly host: string;
  /** The forward fails without this address; the others are optional. */
  readonly required: boolean;
}

/** Loopback means both families: `127.0.0.1` must succeed, `::1` may be missing. */
export function listenAddresses(bind: string | undefined): readonly ListenAddress[] {
  if (bind !== undefined) return [{ host: bind, required: true }];
  return [
    { host: "::1", required: false },
    { host: "127.0.0.1", required: true },
  ];
}

export function listenFailure(protocol: ForwardProtocol, host: string, port: number, error: Error): UserError {
  const { code } = error as NodeJS.ErrnoException;
  const reasons: Readonly<Record<string, readonly [why: string, next: string]>> = {
    EADDRINUSE: ["another program uses it", "stop that program, or name another local port: <other>:<remote>"],
    EACCES: ["this user may not use it", "name a port from 1024 on: <other>:<remote>"],
    EADDRNOTAVAIL: ["this machine does not have that address", "leave the address out to listen on loopback"],
  };
  const known = code === undefined ? undefined : reasons[code];
  return new UserError(`Cannot listen on ${formatEnd(protocol, host, port)}`, {
    why: known?.[0] ?? error.message,
    next: known === undefined ? [] : [known[1]],
    code: code === "EADDRINUSE" ? "ERR_ADDRESS_IN_USE" : "ERR_LISTEN",
    cause: error,
  });
}
