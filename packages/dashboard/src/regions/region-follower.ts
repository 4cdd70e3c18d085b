/** The regions of the deployment as this browser sees them, and the one that carries what is opened next. */
import { type Signal, signal } from "@preact/signals";
import type { Region } from "../api/regions.ts";
import { decideRegion, type Latencies, type RegionChoice } from "./region-choice.ts";

/** The deployment finds within seconds that a proxy is away, so its region is left within 30 s. */
const EVERY_MS = 20_000;
/** Interval when there is only one region. */
const ALONE_EVERY_MS = 300_000;
/** A region in which nothing could be opened from here is not used for this long. */
const FAILED_MS = 60_000;
/** What is opened waits this long for the first list, then uses the primary. */
const FIRST_WITHIN_MS = 2_000;

export interface RegionSources {
  /** Undefined when there is no answer at present. */
  load(signal: AbortSignal): Promise<readonly Region[] | undefined>;
  latency(region: Region, signal: AbortSignal): Promise<number | undefined>;
  read(): RegionChoice | undefined;
  write(choice: RegionChoice | undefined): void;
}

export class RegionFollower {
  readonly list: Signal<readonly Region[]> = signal([]);
  readonly latencies: Signal<Latencies | undefined> = signal(undefined);
  readonly choice: Signal<RegionChoice | undefined> = signal(undefined);
  /** Id of the region that carries what is opened next. */
  readonly active: Signal<string | undefined> = signal(undefined);
  readonly #sources: RegionSources;
  readonly #failedUntil = new Map<string, number>();
  readonly #first = Promise.withResolvers<void>();
  #life: AbortSignal | undefined;
  #measuring = false;

  constructor(sources: RegionSources) {
    this.#sources = sources;
  }

  /** Follows the regions until the signal aborts. */
  start(life: AbortSignal): void {
    this.#life = life;
    this.choice.value = this.#sources.read();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const again = async (): Promise<void> => {
      const found = await this.#sources.load(life);
      if (life.aborted) return;
      if (found !== undefined) this.list.value = found;
      this.#first.resolve();
      this.#decide();
      timer = setTimeout(() => void again(), this.list.value.length > 1 ? EVERY_MS : ALONE_EVERY_MS);
    };
    void again();
    life.addEventListener("abort", () => clearTimeout(timer));
  }

  /** The workspace proxy to open something through; undefined for the deployment itself. */
  async carrier(): Promise<Region | undefined> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FIRST_WITHIN_MS);
    });
    await Promise.race([this.#first.promise, late]);
    clearTimeout(timer);
    this.#decide();
    return this.proxy;
  }

  /** The same, as far as it is known now. Reading it while rendering subscribes to changes. */
  get proxy(): Region | undefined {
    const [, ...proxies] = this.list.value;
    return proxies.find(({ id }) => id === this.active.value);
  }

  /** Nothing could be opened there from this browser, although the deployment may find it healthy. */
  failed(id: string): void {
    this.#failedUntil.set(id, Date.now() + FAILED_MS);
    this.#decide();
  }

  /** The user chose a region; undefined for the nearest one. */
  choose(id: string | undefined): void {
    if (id === undefined) this.latencies.value = undefined;
    this.#remember(id === undefined ? undefined : { id, by: "person" });
    this.#decide();
  }

  /** Measures all healthy regions. Measurements do not overlap. */
  async measure(): Promise<void> {
    const life = this.#life;
    if (this.#measuring || life === undefined) return;
    this.#measuring = true;
    const found = await Promise.all(
      this.list.value
        .filter(({ healthy }) => healthy)
        .map(async (region) => [region.id, await this.#sources.latency(region, life)] as const),
    );
    this.#measuring = false;
    if (life.aborted) return;
    this.latencies.value = new Map(found.flatMap(([id, ms]) => (ms === undefined ? [] : [[id, ms]])));
    this.#decide();
  }

  #decide(): void {
    const now = Date.now();
    for (const [id, until] of this.#failedUntil) if (until <= now) this.#failedUntil.delete(id);
    const states = this.list.value.map(({ id, healthy }) => ({ id, healthy: healthy && !this.#failedUntil.has(id) }));
    // Nothing is known yet, so what is remembered stays.
    if (states.length === 0) return;
    const { active, choice, measure } = decideRegion(states, this.choice.value, this.latencies.value);
    this.active.value = active;
    if (choice?.id !== this.choice.value?.id || choice?.by !== this.choice.value?.by) this.#remember(choice);
    if (measure) void this.measure();
  }

  #remember(choice: RegionChoice | undefined): void {
    this.choice.value = choice;
    this.#sources.write(choice);
  }
}
