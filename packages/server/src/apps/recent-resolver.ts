/** Resolves apps for requests; a result is reused for one second. */
import type { WallClock } from "../base/clock.ts";
import { Recent } from "../base/recent.ts";
import type { Store } from "../db/store.ts";
import type { AppLabel, AppPlace } from "./label.ts";
import type { PathNames } from "./path-names.ts";
import type { PortShareService } from "./port-shares.ts";
import { AppResolver, type ResolvedApp } from "./resolver.ts";

export class RecentResolver extends AppResolver {
  readonly #apps: Recent<ResolvedApp>;
  readonly #paths: Recent<ResolvedApp>;
  readonly #owners: Recent<string>;

  constructor(store: Store, portShares: Pick<PortShareService, "find">, clock: WallClock, now: () => number) {
    super(store, portShares, clock);
    this.#apps = new Recent(now);
    this.#paths = new Recent(now);
    this.#owners = new Recent(now);
  }

  override resolve(label: AppLabel): Promise<ResolvedApp | undefined> {
    return this.#apps.get(JSON.stringify(label), () => super.resolve(label));
  }

  override resolvePath(names: PathNames): Promise<ResolvedApp | undefined> {
    return this.#paths.get(JSON.stringify(names), () => super.resolvePath(names));
  }

  override ownerOf(place: AppPlace): Promise<string | undefined> {
    return this.#owners.get(JSON.stringify(place), () => super.ownerOf(place));
  }

  /** Call after a change to anything that the resolution of an app depends on. */
  forget(): void {
    this.#apps.forget();
    this.#paths.forget();
    this.#owners.forget();
  }
}
