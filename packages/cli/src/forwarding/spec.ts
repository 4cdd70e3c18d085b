/**
 * The grammar of forwards, the same for every flag that takes one:
 *
 *     value = entry *("," entry)
 *     entry = [bind ":"] listen [":" target]
 *     bind  = IPv4 | "[" IPv6 "]"
 *     listen = port ["-" port]
 *     target = [host ":"] port ["-" port]
 *     host  = name | IPv4 | "[" IPv6 "]"
 */
import { isIP, isIPv4 } from "node:net";
import { UsageError } from "../errors/usage-error.ts";

/** Limits ranges, because every port is a separate listener. */
export const MAX_FORWARDS = 4096;
const MAX_VALUE_LENGTH = 64 * 1024;
const MAX_HOST_LENGTH = 253;

export type ForwardProtocol = "tcp" | "udp";

export interface ForwardTarget {
  /** When absent, the far machine itself, at its loopback address. */
  readonly host?: string | undefined;
  readonly port: number;
}

/** One listener and where its connections go. */
export interface ForwardSpec {
  readonly protocol: ForwardProtocol;
  /** Address to listen on; absent: loopback. */
  readonly bind?: string | undefined;
  readonly port: number;
  readonly target: ForwardTarget;
}

/**
 * @param flag The flag's name in messages, such as `--tcp`.
 * @throws UsageError
 */
export function parseForwards(protocol: ForwardProtocol, values: readonly string[], flag: string): ForwardSpec[] {
  const forwards: ForwardSpec[] = [];
  for (const value of values) {
    if (value.length > MAX_VALUE_LENGTH) throw new UsageError(`${flag} is longer than ${MAX_VALUE_LENGTH} characters`);
    for (const entry of value.split(",")) {
      forwards.push(...parseEntry(protocol, entry.trim(), flag, MAX_FORWARDS - forwards.length));
    }
  }
  refuseDuplicates(forwards, flag);
  return forwards;
}

function parseEntry(protocol: ForwardProtocol, entry: string, flag: string, room: number): ForwardSpec[] {
  const fail = (why: string): never => {
    throw new UsageError(`${flag} "${entry}": ${why}`);
  };
  if (entry === "") fail("there is nothing before or after a comma");
  const parts = splitParts(entry) ?? fail("its brackets do not match");
  const bind = addressOf(parts[0]!) !== undefined ? addressOf(parts.shift()!) : undefined;
  if (parts.length === 0) fail("the port is missing; write address:port");
  if (parts.length > 3) fail("it has too many parts; it is [address:]port[:[host:]port]");
  const listen = portsOf(parts[0]!, fail);
  const target = parts.length === 1 ? listen : portsOf(parts.at(-1)!, fail);
  const host = parts.length === 3 ? hostOf(parts[1]!, fail) : undefined;
  if (listen.count !== target.count) {
    fail(
      `it listens on ${portCount(listen.count)} but leads to ${portCount(target.count)}; both ranges need the same length`,
    );
  }
  if (listen.count > room) fail(`that makes more than ${MAX_FORWARDS} forwards; name fewer ports`);
  return Array.from({ length: listen.count }, (_, offset) => ({
    protocol,
    bind,
    port: listen.first + offset,
    target: { host, port: target.first + offset },
  }));
}

/** Splits at colons outside brackets; undefined when the brackets do not match. */
function splitParts(entry: string): string[] | undefined {
  const parts = entry.match(/(\[[^[\]]*\]|[^:[\]]*)(:|$)/g);
  if (parts === null || parts.join("") !== entry) return undefined;
  const cleaned = parts.map((part) => part.replace(/:$/, ""));
  // The match at the very end is empty unless the entry ends with a colon.
  if (!entry.endsWith(":")) cleaned.pop();
  return cleaned;
}

/** `127.0.0.1` or `[::1]`, without brackets. */
function addressOf(part: string): string | undefined {
  if (isIPv4(part)) return part;
  const inside = /^\[(.*)\]$/.exec(part)?.[1];
  return inside !== undefined && isIP(inside) === 6 ? inside : undefined;
}

function hostOf(part: string, fail: (why: string) => never): string {
  const address = addressOf(part);
  if (address !== undefined) return address;
  if (
    part.length <= MAX_HOST_LENGTH &&
    /^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/.test(part) &&
    /[A-Za-z]/.test(part)
  )
    return part;
  return fail(
    `"${part}" is no host name or address${part.includes(".") || part === "" ? "" : ", and no port of its own"}`,
  );
}

interface PortRange {
  readonly first: number;
  readonly count: number;
}

function portsOf(part: string, fail: (why: string) => never): PortRange {
  const match = /^([0-9]{1,6})(?:-([0-9]{1,6}))?$/.exec(part);
  if (match === null)
    return fail(`"${part}" is no port or range of ports; ports are numbers, such as 8080 or 8080-8089`);
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  for (const port of [first, last])
    if (port < 1 || port > 65535) fail(`there is no port ${port}; ports are 1 to 65535`);
  if (last < first) fail(`the range "${part}" ends before it starts`);
  return { first, count: last - first + 1 };
}

function portCount(count: number): string {
  return count === 1 ? "1 port" : `${count} ports`;
}

function refuseDuplicates(forwards: readonly ForwardSpec[], flag: string): void {
  const seen = new Set<string>();
  for (const { bind, port } of forwards) {
    // Without an address it always listens on 127.0.0.1.
    const key = `${bind ?? "127.0.0.1"} ${port}`;
    if (seen.has(key))
      throw new UsageError(`${flag} names port ${port}${bind === undefined ? "" : ` of ${bind}`} twice`);
    seen.add(key);
  }
}

/** `tcp://127.0.0.1:8080`, for messages. */
export function formatEnd(protocol: ForwardProtocol, host: string, port: number): string {
  return `${protocol}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
