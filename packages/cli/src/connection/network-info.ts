/**
 * Files that tell others about a running connection: the network-info file that editors read, and one per connection in the
 * config folder for `coder status`. They are written by rename, so no reader sees half a file. A failure to write is logged and
 * has no other effect.
 */

import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { DiscoPong, PathRef, PeerPathReport } from "coder-client/node/path-report";
import { abortable } from "wg-userspace/async/abort";
import type { Logger } from "wg-userspace/base/ports";
import type { DerpMap } from "wg-userspace/derp/map";
import type { NetReport } from "wg-userspace/netcheck/report";
import { makeDirectories } from "../base/make-directories.ts";
import { writeByRename } from "../base/write-by-rename.ts";

const STATUS_INTERVAL_MS = 5_000;

/** The parts of a connection that are reported. */
export interface ReportedConnection {
  discoPing(options: { readonly signal: AbortSignal }): Promise<DiscoPong>;
  pathReport(): PeerPathReport;
  netReport(): NetReport | undefined;
  onPathChange(listener: (path: PathRef | undefined) => void): () => void;
  readonly derpMap: DerpMap | undefined;
}

/** Content of the network-info file, with the names editors look for. */
export interface NetworkInfo {
  readonly p2p: boolean;
  /** Milliseconds. */
  readonly latency: number;
  /** Name of the region that carried the ping, or of the home region. */
  readonly preferred_derp: string;
  /** Milliseconds by region name. */
  readonly derp_latency: Readonly<Record<string, number>>;
  readonly upload_bytes_sec: number;
  readonly download_bytes_sec: number;
  readonly using_coder_connect: boolean;
}

export interface TrafficSample {
  readonly atMs: number;
  readonly rxBytes: number;
  readonly txBytes: number;
}

/** @param since The previous sample; rates are over the time since then. */
export function networkInfo(
  pong: DiscoPong,
  report: PeerPathReport,
  net: NetReport | undefined,
  map: DerpMap | undefined,
  since: TrafficSample,
  now: TrafficSample,
): NetworkInfo {
  const nameOf = (id: number): string => map?.regions.get(id)?.regionName ?? "unknown";
  const preferred = pong.path.kind === "relayed" ? pong.path.region.name : (report.ownRegion?.name ?? "unknown");
  const latencies = new Map<string, number>([[preferred, 0]]);
  for (const [id, ms] of net?.regionLatencyMs ?? []) latencies.set(nameOf(id), ms);
  const seconds = Math.max(0.001, (now.atMs - since.atMs) / 1000);
  return {
    p2p: pong.path.kind === "direct",
    latency: pong.rttMs,
    preferred_derp: preferred,
    derp_latency: Object.fromEntries(latencies),
    upload_bytes_sec: Math.max(0, Math.round((now.txBytes - since.txBytes) / seconds)),
    download_bytes_sec: Math.max(0, Math.round((now.rxBytes - since.rxBytes) / seconds)),
    using_coder_connect: false,
  };
}

export interface ReportOptions {
  readonly connection: ReportedConnection;
  /** Folder for the network-info file; none is written when absent. */
  readonly networkInfoDir?: string | undefined;
  readonly intervalMs: number;
  /** The config folder, for the status file. */
  readonly configDir: string;
  readonly workspace: string;
  readonly command: string;
  readonly logger: Logger;
}

/** Starts writing. Returns a function that stops it, removes the status file and leaves the network-info file. */
export function reportConnection(options: ReportOptions): () => void {
  const stop = new AbortController();
  const status = new StatusFile(options);
  status.write();
  const stopListening = options.connection.onPathChange(() => status.write());
  const timer = setInterval(() => status.write(), STATUS_INTERVAL_MS);
  timer.unref();
  if (options.networkInfoDir !== undefined) {
    writeNetworkInfo(options, options.networkInfoDir, stop.signal).catch((error: unknown) =>
      options.logger.log("warn", "network information is no longer written", { error: String(error) }),
    );
  }
  return () => {
    stop.abort();
    stopListening();
    clearInterval(timer);
    status.remove();
  };
}

async function writeNetworkInfo(options: ReportOptions, dir: string, signal: AbortSignal): Promise<void> {
  const { connection, logger, intervalMs } = options;
  let since = sampleOf(connection);
  while (!signal.aborted) {
    const startedAt = performance.now();
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(Math.max(1_000, intervalMs))]);
      const pong = await connection.discoPing({ signal: limit });
      const now = sampleOf(connection);
      const info = networkInfo(pong, connection.pathReport(), connection.netReport(), connection.derpMap, since, now);
      since = now;
      // When OpenSSH starts this as ProxyCommand, the parent is the process that the editor knows.
      writePrivately(dir, `${process.ppid}.json`, JSON.stringify(info));
    } catch (error) {
      if (signal.aborted) return;
      logger.log("debug", "network information not written", { error: String(error) });
    }
    const next = abortable<void>(signal, (resolve) => {
      const timer = setTimeout(resolve, Math.max(0, intervalMs - (performance.now() - startedAt)));
      timer.unref();
      return () => clearTimeout(timer);
    });
    await next.catch(() => undefined); // aborted: the loop ends
  }
}

function sampleOf(connection: ReportedConnection): TrafficSample {
  const { rxBytes, txBytes } = connection.pathReport();
  return { atMs: performance.now(), rxBytes, txBytes };
}

/** Writes a file that is either complete or absent: folder 0700, file 0600. */
function writePrivately(dir: string, name: string, text: string): void {
  makeDirectories(dir);
  chmodSync(dir, 0o700);
  writeByRename(join(dir, name), text, { mode: 0o600, lasting: false });
}

/** `<config folder>/connections/<pid>.json`: what `coder status` lists. */
class StatusFile {
  readonly #options: ReportOptions;
  readonly #dir: string;
  readonly #startedAt = new Date().toISOString();

  constructor(options: ReportOptions) {
    this.#options = options;
    this.#dir = join(options.configDir, "connections");
  }

  write(): void {
    const { connection, workspace, command, logger } = this.#options;
    const report = connection.pathReport();
    const inUse = report.candidates.find(({ state }) => state === "in-use");
    const rttMs = report.path?.kind === "direct" ? inUse?.rttMs : report.relayRttMs;
    try {
      writePrivately(
        this.#dir,
        `${process.pid}.json`,
        JSON.stringify({
          pid: process.pid,
          workspace,
          agentId: report.peerId,
          startedAt: this.#startedAt,
          command,
          path: report.path ?? null,
          rttMs: rttMs ?? null,
          mtu: report.mtu,
          rxBytes: report.rxBytes,
          txBytes: report.txBytes,
          updatedAt: new Date().toISOString(),
        }),
      );
    } catch (error) {
      logger.log("debug", "status file not written", { error: String(error) });
    }
  }

  remove(): void {
    rmSync(join(this.#dir, `${process.pid}.json`), { force: true });
  }
}
