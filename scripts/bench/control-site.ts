/** A control plane under load, of one server or several, as the parts of a bench see it. */
import { cpuSeconds, familyCpuSeconds, residentBytes } from "./process-usage.ts";
import type { EventLoop, ServerProcess } from "./server-process.ts";

export interface ControlSite {
  /** The URL that peers dial. */
  readonly url: string;
  readonly servers: readonly ServerProcess[];
  /** Programs that serve with the servers, with their child processes. */
  readonly beside: readonly { readonly name: string; readonly pid: number }[];
}

/** Processor time of the servers together, and of each program beside them. */
export function siteCpu({ servers, beside }: ControlSite): {
  readonly servers: number;
  readonly beside: readonly number[];
} {
  return {
    servers: servers.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0),
    beside: beside.map(({ pid }) => familyCpuSeconds(pid)),
  };
}

/** Memory of the servers together. */
export function siteMemory({ servers }: ControlSite): number {
  return servers.reduce((sum, { pid }) => sum + residentBytes(pid), 0);
}

/** Each figure is that of the worst server. */
export async function siteEventLoop({ servers }: ControlSite, ask: "read" | "reset"): Promise<EventLoop> {
  const all = await Promise.all(servers.map((server) => server.eventLoop(ask)));
  return {
    lagP99Ms: Math.max(...all.map(({ lagP99Ms }) => lagP99Ms)),
    lagMaxMs: Math.max(...all.map(({ lagMaxMs }) => lagMaxMs)),
  };
}
