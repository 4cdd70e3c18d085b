/** The resolver as requests use it: what one of them found serves those of the next second. */
import type { WallClock } from "../base/clock.ts";
import type { Store } from "../db/store.ts";
import type { AppLabel, AppPlace } from "./label.ts";
import { Recent } from "./recent.ts";
import { AppResolver, type ResolvedApp } from "./resolver.ts";

export class RecentResolver extends AppResolver {
  readonly #apps: Recent<ResolvedApp>;
  readonly #owners: Recent<string>;

  constructor(store: Store, clock: WallClock, now: () => number) {
    super(store, clock);
    this.#apps = new Recent(now);
    this.#owners = new Recent(now);
  }

  override resolve(label: AppLabel): Promise<ResolvedApp | undefined> {
    return this.#apps.get(JSON.stringify(label), () => super.resolve(label));
  }

  override ownerOf(place: AppPlace): Promise<string | undefined> {
    return this.#owners.get(JSON.stringify(place), () => super.ownerOf(place));
  }

  /** After anything changed that an app may rest on. */
  forget(): void {
    this.#apps.forget();
    this.#owners.forget();
  }
}
