import type { Dialer } from "coder-client/dial/dialer";
import { aborted } from "wg-userspace/async/abort";
import { createLogger, type TextSink } from "../base/log.ts";
import { untilStopped } from "../base/until-stopped.ts";
import { boundLines } from "../http/bind-configured.ts";
import { markOnMainThread } from "../relay/garbage-collection.ts";
import type { ProxyConfig } from "./config.ts";
import { WorkspaceProxy } from "./workspace-proxy.ts";

export interface RunProxyOptions {
  /** Stops the proxy when aborted, in addition to SIGINT and SIGTERM. */
  readonly signal?: AbortSignal;
  readonly dialer?: Dialer;
  /** Output for people: addresses. */
  readonly stdout?: TextSink;
  /** Log lines. */
  readonly stderr?: TextSink;
}

/**
 * Runs a workspace proxy until a signal stops it. Resolves after a clean stop; throws ServerError if it cannot start or continue.
 * SIGHUP reloads the TLS certificates.
 */
export async function runWorkspaceProxy(config: ProxyConfig, options: RunProxyOptions = {}): Promise<void> {
  markOnMainThread();
  const { signal, dialer, stdout = process.stdout, stderr = process.stderr } = options;
  const log = createLogger({ sink: stderr, level: config.logLevel, format: config.logFormat });
  const proxy = new WorkspaceProxy(config, { log, dialer });
  await untilStopped({ signal, onHangUp: () => proxy.reloadCertificates("SIGHUP"), log }, async (ended) => {
    try {
      if (ended.aborted) return;
      await proxy.listen();
      stdout.write(greeting(proxy, config));
      const failure = await Promise.race([aborted(ended), proxy.failed]);
      if (failure !== undefined) throw failure;
    } finally {
      await proxy[Symbol.asyncDispose]();
    }
  });
}

function greeting(proxy: WorkspaceProxy, config: ProxyConfig): string {
  const lines = boundLines(proxy);
  if (proxy.stunPort !== undefined) lines.push(`STUN on UDP port ${proxy.stunPort}`);
  lines.push(`Access URL: ${config.accessUrl.origin}`, `Proxy of: ${config.primaryUrl.origin}`);
  return `${lines.join("\n")}\n`;
}
