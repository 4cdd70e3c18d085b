import { elsewhere } from "../../base/domain-error.ts";
import type { Logger } from "../../base/log.ts";
import type { RelayKeysStream } from "../../workspace-proxies/relay-keys-stream.ts";
import type { ControlPlane } from "../control-plane.ts";
import type { IsolationEvents } from "./isolation.ts";
import type { ClusterView } from "./view.ts";

/** The error with which streams end. Stock clients then reconnect to whatever server the balancer chooses. */
const UNHEALTHY = "coordinator unhealthy";
/** Peers are released over this time, so that they do not all reconnect at once. */
const SHED_MS = 10_000;

/** What an isolated server does with its peers. Its relay, STUN and links to siblings continue in any case. */
export function isolationEffects(options: {
  readonly control: Pick<ControlPlane, "refuse" | "release" | "coordinator">;
  readonly view: Pick<ClusterView, "forgetOthers">;
  /** The key streams to workspace proxies: keys that leave this server may be in use at another. */
  readonly relayKeys: Pick<RelayKeysStream, "endAll">;
  readonly now: () => number;
  readonly log: Logger;
}): Omit<IsolationEvents, "ask"> {
  const { control, view, relayKeys, now, log } = options;
  let shedding = new AbortController();
  const release = (withinMs: number): void => {
    shedding.abort();
    shedding = new AbortController();
    const { signal } = shedding;
    control.release({ reason: UNHEALTHY, error: UNHEALTHY, withinMs, signal }).catch((error: unknown) => {
      log.error({ err: error }, "peers were not released");
    });
  };
  return {
    isolated: () => control.refuse("isolated", () => elsewhere("its database does not answer")),
    shed: () => {
      log.warn({}, "a sibling is well: peers are sent there");
      relayKeys.endAll(UNHEALTHY);
      release(SHED_MS);
    },
    keep: () => {
      log.warn({}, "no sibling is well any more: the peers that are left stay");
      shedding.abort();
    },
    freeze: () => {
      log.warn({}, "isolated for too long: no key can be confirmed any more, and all leave the relay");
      relayKeys.endAll(UNHEALTHY);
      release(0);
      control.coordinator.endReleased(now());
      view.forgetOthers();
      control.coordinator.endGraces();
    },
    back: () => shedding.abort(),
    settled: () => {
      control.coordinator.endReleased(now());
      control.refuse("isolated", undefined);
    },
  };
}
