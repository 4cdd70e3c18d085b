/** A relay without a store or accounts: the composition of a relay-only process. */
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite, nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { Hosts } from "../src/auth/hosts.ts";
import type { Logger } from "../src/base/log.ts";
import { OpenStreams } from "../src/base/open-streams.ts";
import { OwnAddresses } from "../src/base/own-addresses.ts";
import type { RequestRoute } from "../src/base/routes.ts";
import { clientAddressReader } from "../src/http/client-address.ts";
import { FrontDoor } from "../src/http/front-door.ts";
import { DEFAULT_LIMITS } from "../src/http/limits.ts";
import { Listeners } from "../src/http/listeners.ts";
import { RelayListener } from "../src/relay/relay-listener.ts";

export interface RelayOnlyOptions {
  readonly privateKey: Uint8Array;
  readonly log: Logger;
  /** Routes of an app proxy could be added here. */
  readonly requestRoutes?: readonly RequestRoute[];
}

export async function serveRelayOnly(options: RelayOnlyOptions) {
  const { log } = options;
  const settings = { accessUrl: undefined, redirectToAccessUrl: false, hstsMaxAgeSeconds: 0 };
  const at = { host: "127.0.0.1", port: 0 };
  const addresses = new OwnAddresses({ ...settings, http: at, tls: undefined });
  const clientAddress = clientAddressReader({ proxyTrustedHeaders: [], proxyTrustedOrigins: [] });
  const relay = new RelayListener({
    privateKey: options.privateKey,
    crypto: nodeCryptoSuite,
    random: nodeRandom,
    clock: monotonicNow,
    addressOf: clientAddress,
  });
  const door = new FrontDoor({
    upgradeRoutes: relay.upgradeRoutes,
    requestRoutes: [...relay.requestRoutes, ...(options.requestRoutes ?? [])],
    hosts: new Hosts(() => addresses.accessUrl(), []),
    clientAddress,
    settings,
    limits: DEFAULT_LIMITS,
    log,
  });
  const listeners = new Listeners({ door, limits: DEFAULT_LIMITS, streams: new OpenStreams(), log });
  const bound = await listeners.http(at, "http-address");
  addresses.httpBound({ host: bound.address, port: bound.port });
  return {
    url: addresses.ownUrl(),
    relay,
    [Symbol.asyncDispose]: async () => {
      listeners.startClosing();
      await relay.close();
      await listeners.closed();
    },
  };
}
