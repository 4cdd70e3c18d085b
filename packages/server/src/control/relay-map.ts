/**
 * The relay map of this deployment: made from the settings, a file or URL that is read repeatedly, and the server's own
 * addresses.
 */

import { readFile, stat } from "node:fs/promises";
import {
  type DerpMap,
  defaultEmbeddedMap,
  derpMapEqual,
  derpMapOf,
  hasRelay,
  mergeDerpMaps,
  type Node,
  parseDerpMap,
  type Region,
  stunNode,
  withoutStun,
} from "wg-userspace/derp/map";
import { nodeErrorCode, ServerError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { dialerToOthers, fetchText } from "../base/outgoing.ts";
import type { OwnAddresses } from "../base/own-addresses.ts";
import type { DerpConfig } from "../config/parse.ts";
import {
  type LeftOutProxy,
  proxyRegionId,
  type RegionSource,
  withProxyRegions,
} from "../workspace-proxies/proxy-regions.ts";

/** How often a file is read again; a URL is requested less often. */
const FILE_INTERVAL_MS = 5_000;
const URL_INTERVAL_MS = 5 * 60_000;
const FETCH_TIMEOUT_MS = 10_000;
/** Tailscale's own map has about 30 KiB. */
const MAX_MAP_BYTES = 1024 * 1024;
const MAP_REDIRECTS = 3;
const LEFT_OUT_EVERY_MS = 60_000;

/** Workspace proxies whose regions belong in the map. */
export interface ProxySource {
  readonly inMap: readonly RegionSource[];
  onChange(listener: () => void): () => void;
}

export interface RelayMapOptions {
  readonly config: DerpConfig;
  /** Final once the server listens. */
  readonly addresses: Pick<OwnAddresses, "accessUrl" | "stunPort">;
  /** Absent if there are none. */
  readonly proxies?: ProxySource;
  readonly log: Logger;
  readonly intervalMs?: number;
  readonly fetchTimeoutMs?: number | undefined;
}

export class RelayMaps {
  readonly #options: RelayMapOptions;
  readonly #listeners = new Set<() => void>();
  #extra: DerpMap;
  #current: DerpMap | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastProblem = "";
  #leftOut: readonly LeftOutProxy[] = [];
  #leftOutLoggedAt = Number.NEGATIVE_INFINITY;
  readonly #stopProxies: (() => void) | undefined;
  #closed = false;

  /** Reads the file or URL once. Throws ServerError if that fails, or if the resulting map has no relay. */
  static async open(options: RelayMapOptions): Promise<RelayMaps> {
    const extra = await readExtra(options);
    if ("error" in extra) throw unusable(options.config, extra.error);
    // An unusable map should prevent the start rather than the first connection. The final map is built when the address is
    // known.
    const built = build(options.config, withSomePort(options.addresses.accessUrl()), undefined, extra.map, []);
    if ("error" in built) throw unusable(options.config, built.error);
    return new RelayMaps(options, extra.map);
  }

  private constructor(options: RelayMapOptions, extra: DerpMap) {
    this.#options = options;
    this.#extra = extra;
    if (sourceOf(options.config) !== undefined) this.#schedule();
    this.#stopProxies = options.proxies?.onChange(() => {
      // Until the map is first used, the final address is unknown.
      if (!this.#closed && this.#current !== undefined) this.#follow(this.#extra);
    });
  }

  current(): DerpMap {
    if (this.#current === undefined) {
      const built = this.#build(this.#extra);
      if ("error" in built) throw unusable(this.#options.config, built.error);
      this.#take(built);
    }
    return this.#current!;
  }

  /** Workspace proxies whose region is left out of the map, and why. */
  get leftOut(): readonly LeftOutProxy[] {
    return this.#leftOut;
  }

  /** The id of a workspace proxy's region. It may exceed the largest valid id. */
  proxyRegionId(regionNumber: number): number {
    const { config, addresses } = this.#options;
    const built = build(config, addresses.accessUrl(), addresses.stunPort(), this.#extra, []);
    if ("error" in built) throw unusable(config, built.error);
    return proxyRegionId(built.base, regionNumber);
  }

  /**
   * Calls back when the map changes in a way that affects which relays or STUN servers are used. Returns a function that removes
   * the listener.
   */
  onChange(listener: () => void): () => void {
    const entry = (): void => listener();
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  /** Reads the file or URL again. On failure the map stays as it is and a warning is logged; never rejects. */
  async refresh(): Promise<void> {
    const extra = await readExtra(this.#options);
    if (this.#closed) return;
    const problem = "error" in extra ? extra.error : this.#follow(extra.map);
    if (problem === undefined) this.#lastProblem = "";
    else this.#warn(problem);
  }

  close(): void {
    this.#closed = true;
    this.#stopProxies?.();
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  /** Builds the map again, and informs the listeners if it differs. Returns what is wrong with it, if anything. */
  #follow(extra: DerpMap): string | undefined {
    const before = this.current();
    const built = this.#build(extra);
    if ("error" in built) return built.error;
    this.#extra = extra;
    this.#take(built);
    if (derpMapEqual(before, built.map)) return undefined;
    this.#options.log.info({ regions: [...built.map.regions.keys()] }, "relay map changed");
    for (const listener of [...this.#listeners]) listener();
    return undefined;
  }

  #build(extra: DerpMap): BuiltMap | { readonly error: string } {
    const { config, addresses, proxies } = this.#options;
    return build(config, addresses.accessUrl(), addresses.stunPort(), extra, proxies?.inMap ?? []);
  }

  #take({ map, leftOut }: BuiltMap): void {
    this.#current = map;
    this.#leftOut = leftOut;
    if (leftOut.length === 0 || performance.now() - this.#leftOutLoggedAt < LEFT_OUT_EVERY_MS) return;
    this.#leftOutLoggedAt = performance.now();
    for (const { name, why } of leftOut)
      this.#options.log.warn({ proxy: name, why }, "a workspace proxy is left out of the relay map");
  }

  #schedule(): void {
    const { config, intervalMs } = this.#options;
    const wait = intervalMs ?? (config.configUrl === undefined ? FILE_INTERVAL_MS : URL_INTERVAL_MS);
    this.#timer = setTimeout(() => {
      void this.refresh().then(() => {
        if (!this.#closed) this.#schedule();
      });
    }, wait);
    this.#timer.unref();
  }

  /** Reports a problem once, not at every attempt. */
  #warn(problem: string): void {
    if (problem === this.#lastProblem) return;
    this.#lastProblem = problem;
    this.#options.log.warn(
      { source: sourceOf(this.#options.config), why: problem },
      "the relay map cannot be read again, the old one stays",
    );
  }
}

type MapOrError = { readonly map: DerpMap } | { readonly error: string };

interface BuiltMap {
  readonly map: DerpMap;
  /** The map without workspace proxies and with all STUN servers: the proxies' region ids are derived from it. */
  readonly base: DerpMap;
  readonly leftOut: readonly LeftOutProxy[];
}

function build(
  config: DerpConfig,
  accessUrl: URL,
  stunPort: number | undefined,
  extra: DerpMap,
  proxies: readonly RegionSource[],
): BuiltMap | { readonly error: string } {
  let own: DerpMap;
  try {
    own = config.serverEnabled ? ownMap(config, accessUrl, stunPort) : stunOnly(config);
  } catch (error) {
    return { error: (error as Error).message };
  }
  for (const id of extra.regions.keys()) {
    if (own.regions.has(id)) {
      return { error: `region ${id} is already ${roleOf(config, id)}: give one of them another id` };
    }
  }
  const merged = mergeDerpMaps(own, extra);
  if (![...own.regions.values(), ...extra.regions.values()].some(hasRelay)) {
    return { error: "it has no relay, and the embedded one is switched off" };
  }
  if ("error" in merged) return merged;
  const { map, leftOut } = withProxyRegions(merged.map, proxies);
  return { map: config.blockDirect ? withoutStun(map) : map, base: merged.map, leftOut };
}

function ownMap(config: DerpConfig, accessUrl: URL, stunPort: number | undefined): DerpMap {
  const map = defaultEmbeddedMap({
    accessUrl: accessUrl.href,
    regionId: config.regionId,
    code: config.regionCode,
    name: config.regionName,
    stunAddresses: config.stunAddresses,
  });
  const regions = [...map.regions.values()].map((region) =>
    region.embeddedRelay ? { ...region, nodes: withOwnStun(region, config, stunPort) } : region,
  );
  return derpMapOf(regions, map.regionScore);
}

/** The nodes of the embedded relay's region, with the STUN servers of the deployment. */
function withOwnStun({ nodes, regionId }: Region, config: DerpConfig, stunPort: number | undefined): readonly Node[] {
  const { relayUrl, stunAnnounced } = config;
  if (stunAnnounced.length > 0)
    return [...nodes, ...stunAnnounced.map((address, index) => stunNode(`${regionId}stun${index}`, regionId, address))];
  // Several servers share one access URL, that of a balancer, which passes no UDP.
  if (stunPort === undefined || relayUrl !== undefined) return nodes;
  // A client that reaches the relay can send STUN to the same host, even without the Internet.
  return nodes.map((node) => ({ ...node, stunPort }));
}

/** Only the STUN regions, with the ids that they have beside an embedded relay. */
function stunOnly(config: DerpConfig): DerpMap {
  const map = ownMap(config, new URL("http://unused.invalid"), undefined);
  return derpMapOf([...map.regions.values()].filter((region) => !region.embeddedRelay));
}

function roleOf(config: DerpConfig, id: number): string {
  return id === config.regionId && config.serverEnabled ? "the embedded relay" : "a STUN server of this deployment";
}

async function readExtra(options: RelayMapOptions): Promise<MapOrError> {
  const { config } = options;
  if (sourceOf(config) === undefined) return { map: derpMapOf([]) };
  try {
    const text =
      config.configUrl === undefined
        ? await readMapFile(config.configPath ?? "")
        : await fetchMap(config.configUrl, options.fetchTimeoutMs ?? FETCH_TIMEOUT_MS);
    // A map with only STUN servers is valid here, since the embedded relay may do the relaying.
    return parseDerpMap(JSON.parse(text), { allowNoRelay: true });
  } catch (error) {
    if (error instanceof SyntaxError) return { error: `it is not JSON: ${error.message}` };
    return { error: (error as Error).message };
  }
}

async function readMapFile(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_MAP_BYTES) throw new Error(`it has ${size} bytes, at most ${MAX_MAP_BYTES} are read`);
    return await readFile(path, "utf8");
  } catch (error) {
    const reasons: Readonly<Record<string, string>> = {
      ENOENT: "there is no such file",
      EACCES: "this user may not read it",
      EISDIR: "it is a directory",
    };
    throw new Error(reasons[nodeErrorCode(error) ?? ""] ?? (error as Error).message, { cause: error });
  }
}

async function fetchMap(url: URL, timeoutMs: number): Promise<string> {
  const signal = AbortSignal.timeout(timeoutMs);
  const dialer = dialerToOthers();
  try {
    const { status, text } = await fetchText(dialer, url, {
      signal,
      maxBytes: MAX_MAP_BYTES,
      redirects: MAP_REDIRECTS,
    });
    if (status !== 200) throw new Error(`it answered HTTP ${status}`);
    return text;
  } catch (error) {
    if (signal.aborted) throw new Error(`no complete answer within ${timeoutMs / 1000} s`, { cause: error });
    throw error;
  } finally {
    dialer.close();
  }
}

/** Port 0 stands for a free port that is chosen when the server listens. */
function withSomePort(url: URL): URL {
  if (url.port !== "0") return url;
  const known = new URL(url);
  known.port = "1";
  return known;
}

function sourceOf(config: DerpConfig): string | undefined {
  return config.configUrl?.href ?? config.configPath;
}

function unusable(config: DerpConfig, why: string): ServerError {
  const source = sourceOf(config);
  const setting = config.configUrl === undefined ? "--derp-config-path" : "--derp-config-url";
  return new ServerError(
    "ERR_CONFIG",
    source === undefined ? "The relay map cannot be used" : `The relay map "${source}" cannot be used`,
    {
      why,
      nextSteps: [
        source === undefined
          ? "change --derp-server-stun-addresses or --derp-server-region-id"
          : config.serverEnabled
            ? `correct ${setting}, or leave it out and keep the embedded relay`
            : `correct ${setting}, or switch the embedded relay on with --derp-server-enable`,
      ],
    },
  );
}
