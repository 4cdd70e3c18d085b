/** Upgrades that are kept. */
const WINDOW = 256;
/** Minimum number of upgrades before a conclusion is drawn: a small deployment may have one client. */
const ENOUGH = 50;
const SHARE = 0.9;

export interface CommonSource {
  readonly address: string;
  /** The upgrades carry X-Forwarded-For: there is a proxy, and it is not a trusted one. */
  readonly namesClients: boolean;
}

/**
 * The sources of recent upgrades. Behind a proxy that is not trusted, all clients appear to have one address and share its
 * limits.
 */
export class UpgradeSources {
  readonly #last: CommonSource[] = [];
  readonly #onCommon: (source: CommonSource) => void;
  readonly #isSibling: (address: string) => boolean;
  #next = 0;
  #isReported = false;

  /**
   * @param onCommon Called once, when nearly all upgrades come from one address for the first time.
   * @param isSibling Whether another server of the deployment has this address; its relay dials this one.
   */
  constructor(onCommon: (source: CommonSource) => void, isSibling: (address: string) => boolean) {
    this.#onCommon = onCommon;
    this.#isSibling = isSibling;
  }

  /** Records an upgrade whose sender counts as the client. */
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

  /** The address from which nearly all recent upgrades came; undefined if there is none, or too few upgrades to tell. */
  common(): CommonSource | undefined {
    // Some recorded upgrades may be from a sibling whose address has become known only since.
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

  /** Relays send no X-Forwarded-For; a proxy on a sibling's machine does. */
  #mayBeRelay({ address, namesClients }: CommonSource): boolean {
    return !namesClients && this.#isSibling(address);
  }
}
