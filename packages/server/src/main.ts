import type { DrainTimes } from "./base/drain-times.ts";
import { createLogger, type Logger, type TextSink } from "./base/log.ts";
import type { ServerConfig } from "./config/parse.ts";
import { markOnMainThread } from "./relay/garbage-collection.ts";
import { createServer, type ServerDeps } from "./server.ts";

export interface RunServerOptions {
  /** Ends the server when aborted, besides SIGINT and SIGTERM. */
  readonly signal?: AbortSignal;
  /** What a person reads: addresses and next steps. */
  readonly stdout?: TextSink;
  /** Log lines. */
  readonly stderr?: TextSink;
  /** The parts that other packages bring; see ServerDeps. */
  readonly deps?: Omit<ServerDeps, "log">;
}

/**
 * Runs the control plane until a signal ends it. Resolves after a clean stop; throws ServerError when it cannot start.
 * A second SIGINT or SIGTERM ends the process at once. SIGHUP reads the TLS certificates again.
 */
export async function runServer(config: ServerConfig, options: RunServerOptions = {}): Promise<void> {
  markOnMainThread();
  const stdout = options.stdout ?? process.stdout;
  const log = createLogger({
    sink: options.stderr ?? process.stderr,
    level: config.logLevel,
    format: config.logFormat,
  });
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (stop.signal.aborted) process.exit(name === "SIGINT" ? 130 : 143);
    log.info({ signal: name }, "stopping");
    stop.abort();
  };
  let late: NodeJS.Timeout | undefined;
  let reload = (): void => undefined;
  const onHangUp = (): void => reload();
  process.on("SIGHUP", onHangUp);
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  const ended = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
  try {
    const server = await createServer(config, { ...options.deps, log, signal: ended });
    reload = () => server.reloadCertificates("SIGHUP");
    try {
      if (!ended.aborted) {
        await server.listen();
        stdout.write(await greeting(server, config));
        await aborted(ended);
        late = exitLate(server.drainTimes(), log);
        await server.drain();
      }
    } finally {
      await server.close();
    }
  } finally {
    clearTimeout(late);
    process.off("SIGHUP", onHangUp);
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}

/** A stop that hangs, as on a database that does not answer, ends all the same: what is durable is in the database. */
function exitLate({ exitMs }: DrainTimes, log: Logger): NodeJS.Timeout | undefined {
  if (exitMs === undefined) return undefined;
  return setTimeout(() => {
    log.warn({ ms: exitMs }, "the stop took too long: the process ends");
    process.exit(1);
  }, exitMs);
}

async function greeting(server: Awaited<ReturnType<typeof createServer>>, config: ServerConfig): Promise<string> {
  const lines: string[] = [];
  if (server.address !== undefined) lines.push(`Listening on http://${hostPort(server.address)}`);
  if (server.tlsAddress !== undefined) lines.push(`Listening on https://${hostPort(server.tlsAddress)}`);
  if (server.metricsAddress !== undefined) lines.push(`Metrics on http://${hostPort(server.metricsAddress)}/metrics`);
  if (server.stunPort !== undefined) lines.push(`STUN on UDP port ${server.stunPort}`);
  const url = server.parts.addresses.accessUrl().origin;
  const page = server.parts.addresses.browserUrl().origin;
  lines.push(`Access URL: ${url}`);
  if (page !== url) lines.push(`In a browser: ${page}`);
  lines.push(`State: ${config.stateDir}`);
  if ((await server.parts.store.users.count()) === 0) {
    lines.push("", "There is no user yet. Create the first one, an owner, with:", `  coder login ${url}`);
  }
  return `${lines.join("\n")}\n`;
}

function hostPort(address: { address: string; port: number; family: string }): string {
  return address.address.includes(":") ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
