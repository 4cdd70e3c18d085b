/** Upgrades that are remembered. */
const WINDOW = 256;
/** With fewer nothing is concluded: a small deployment may have one client. */
const ENOUGH = 50;
const SHARE = 0.9;

export interface CommonSource {
  readonly address: string;
  /** They carry X-Forwarded-For: a proxy is there, which is not a trusted one. */
  readonly namesClients: boolean;
}

/** Where the last upgrades came from: behind a proxy that is not trusted all clients have one address, and share its limits. */
export class UpgradeSources {
  readonly #last: CommonSource[] = [];
  readonly #onCommon: (source: CommonSource) => void;
  readonly #isSibling: (address: string) => boolean;
  #next = 0;
  #isReported = false;

  /**
   * @param onCommon Called once, when nearly all upgrades come from one address for the first time.
   * @param isSibling Whether another server of the deployment is at an address: its relay dials this one.
   */
  constructor(onCommon: (source: CommonSource) => void, isSibling: (address: string) => boolean) {
    this.#onCommon = onCommon;
    this.#isSibling = isSibling;
  }

  /** An upgrade whose sender counts as the client. */
  record(source: CommonSource): void {
    if (this.#mayBeRelay(source)) return;
    this.#last[this.#next] = source;
    this.#next = (this.#next + 1) % WINDOW;
    if (this.#isReported || this.#next % ENOUGH !== 0) return;
    const common = this.common();
    if (common === undefined) return;
    this.#isReported = true;
    this.#onCommon(common);
  }

  /** The address of nearly all of the last upgrades; undefined when there is none, or too few to tell. */
  common(): CommonSource | undefined {
    // Of those that were recorded some may be of a sibling whose address is known only since.
    const last = this.#last.filter((source) => !this.#mayBeRelay(source));
    if (last.length < ENOUGH) return undefined;
    const counts = new Map<string, number>();
    for (const { address } of last) counts.set(address, (counts.get(address) ?? 0) + 1);
    for (const [address, count] of counts) {
      if (count <= SHARE * last.length) continue;
      return { address, namesClients: last.some((source) => source.address === address && source.namesClients) };
    }
    return undefined;
  }

  /** A proxy on the machine of a sibling sends X-Forwarded-For, and relays do not. */
  #mayBeRelay({ address, namesClients }: CommonSource): boolean {
    return !namesClients && this.#isSibling(address);
  }
}
