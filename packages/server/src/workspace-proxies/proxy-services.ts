/** Joins the parts that serve workspace proxies. */
import type { AccessChanges } from "../auth/access-changes.ts";
import type { AccessEvents } from "../auth/access-events.ts";
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import type { OwnHosts } from "./address-overlap.ts";
import { appRefusal, requireServing } from "./app-proxies.ts";
import { checkProxy } from "./health-report.ts";
import { ProxyAdministration } from "./proxy-administration.ts";
import { ProxyAuthenticator } from "./proxy-authenticator.ts";
import { ProxyChecks } from "./proxy-checks.ts";
import type { ProxyDirectory } from "./proxy-directory.ts";
import { ProxyRegistration } from "./proxy-registration.ts";
import { RelayKeysStream } from "./relay-keys-stream.ts";

export type ProxyServices = ReturnType<typeof proxyServices>;

export function proxyServices(options: {
  readonly store: Store;
  readonly directory: ProxyDirectory;
  /** The deployment's own hosts. */
  readonly ownHosts: () => OwnHosts;
  readonly accessEvents: AccessEvents;
  readonly accessChanges: AccessChanges;
  readonly regionIdOf: (regionNumber: number) => number;
  /** In hex: the node keys that may use relays. */
  readonly relayKeys: () => readonly string[];
  readonly checkIntervalMs: number;
  readonly clock: WallClock;
  readonly log: Logger;
  readonly onCheck: (seconds: number) => void;
}) {
  const { store, directory, ownHosts, accessEvents, clock, log, onCheck, checkIntervalMs: intervalMs } = options;
  const checks = new ProxyChecks({ store, directory, intervalMs, check: checkProxy, clock, log, onCheck });
  return {
    directory,
    administration: new ProxyAdministration(options),
    authenticator: new ProxyAuthenticator(store.workspaceProxies),
    registration: new ProxyRegistration({ store, directory, checks, ownHosts, clock, log }),
    /** Throws DomainError "forbidden" for a proxy that may not serve apps and terminals. */
    requireServing: (proxy: WorkspaceProxyRow): void => requireServing(proxy, ownHosts()),
    /** Whether it may serve apps and terminals, as far as is known without asking it. */
    mayServe: (proxy: WorkspaceProxyRow): boolean => appRefusal(proxy, ownHosts()) === undefined,
    checks,
    relayKeys: new RelayKeysStream(options.relayKeys, accessEvents),
  };
}
