import { aborted } from "wg-userspace/async/abort";
import type { DrainTimes } from "./base/drain-times.ts";
import { createLogger, type Logger, type TextSink } from "./base/log.ts";
import { untilStopped } from "./base/until-stopped.ts";
import type { ServerConfig } from "./config/parse.ts";
import { Catalogue, type ProgramSources, programSources } from "./downloads/catalogue.ts";
import { platformOfNode } from "./downloads/names.ts";
import { boundLines } from "./http/bind-configured.ts";
import { markOnMainThread } from "./relay/garbage-collection.ts";
import { createServer, type ServerDeps } from "./server.ts";

export interface RunServerOptions {
  /** Stops the server when aborted, in addition to SIGINT and SIGTERM. */
  readonly signal?: AbortSignal;
  /** Output for people: addresses and next steps. */
  readonly stdout?: TextSink;
  /** Log lines. */
  readonly stderr?: TextSink;
  /** The parts that other packages supply; see ServerDeps. */
  readonly deps?: Omit<ServerDeps, "log">;
}

/**
 * Runs the control plane until a signal stops it. Resolves after a clean stop; throws ServerError if it cannot start. A second
 * SIGINT or SIGTERM ends the process at once. SIGHUP reloads the TLS certificates.
 */
export async function runServer(config: ServerConfig, options: RunServerOptions = {}): Promise<void> {
  markOnMainThread();
  const stdout = options.stdout ?? process.stdout;
  const log = createLogger({
    sink: options.stderr ?? process.stderr,
    level: config.logLevel,
    format: config.logFormat,
  });
  let late: NodeJS.Timeout | undefined;
  let reload = (): void => undefined;
  await untilStopped({ signal: options.signal, onHangUp: () => reload(), log }, async (ended) => {
    const server = await createServer(config, { ...options.deps, log, signal: ended });
    reload = () => server.reloadCertificates("SIGHUP");
    try {
      if (ended.aborted) return;
      await server.listen();
      stdout.write(await greeting(server, config));
      await warnOfMissingProgram(config, options.deps?.packaged, log);
      await aborted(ended);
      late = exitLate(server.drainTimes(), log);
      await server.drain();
    } finally {
      await server.close().finally(() => clearTimeout(late));
    }
  });
}

/** Ends the process even if the stop hangs, for example on a database that does not answer; durable data is in the database. */
function exitLate({ exitMs }: DrainTimes, log: Logger): NodeJS.Timeout | undefined {
  if (exitMs === undefined) return undefined;
  return setTimeout(() => {
    log.warn({ ms: exitMs }, "the stop took too long: the process ends");
    process.exit(1);
  }, exitMs);
}

/** Otherwise the first to notice would be a person whose install command fails. */
async function warnOfMissingProgram(
  { binariesDir }: ServerConfig,
  packaged: ProgramSources | undefined,
  log: Logger,
): Promise<void> {
  const own = platformOfNode(process.platform, process.arch);
  if (own === undefined) return;
  try {
    const file = await new Catalogue(programSources(binariesDir, packaged)).missing(own);
    if (file === undefined) return;
    log.warn(
      { file },
      "this server has no coder command to hand out to machines like its own: their install lines fail; put one into the folder that --binaries-dir names",
    );
  } catch (error) {
    log.warn({ err: error }, "the executables to hand out cannot be read");
  }
}

async function greeting(server: Awaited<ReturnType<typeof createServer>>, config: ServerConfig): Promise<string> {
  const lines = boundLines(server);
  if (server.stunPort !== undefined) lines.push(`STUN on UDP port ${server.stunPort}`);
  const url = server.parts.addresses.accessUrl().origin;
  const page = server.parts.addresses.browserUrl().origin;
  lines.push(`Access URL: ${url}`);
  if (page !== url) lines.push(`In a browser: ${page}`);
  lines.push(`State: ${config.stateDir}`);
  // A database that is briefly away is no reason to stop a listening server; requests will report it.
  const users = await server.parts.store.users.count().catch(() => undefined);
  if (users === 0) {
    lines.push("", "There is no user yet. Create the first one, an owner, with:", `  coder login ${url}`);
  }
  return `${lines.join("\n")}\n`;
}
