import { addressBlock, siteBlock } from "./address-block.ts";
import { DomainError, type DomainErrorCode } from "./domain-error.ts";

export interface PlaceLimits {
  /** In total at one time. */
  readonly total: number;
  /** For one user; absent: no limit. */
  readonly perUser?: number;
  /** For one client address (one /64 for IPv6); a /56 may have twice as many. Absent: no limit. */
  readonly perAddress?: number;
  /** For one workspace, whatever the users and addresses; absent: no limit. */
  readonly perWorkspace?: number;
  /** For one client address (as above) within one workspace, so that it cannot take the workspace's whole share. */
  readonly perAddressOfWorkspace?: number;
}

/** The user, address and workspace to which a place is counted. An absent one is not counted. */
export interface PlaceHolder {
  readonly userId?: string;
  readonly address?: string;
  readonly workspaceId?: string;
}

/** A response or a socket. */
interface Closable {
  readonly destroyed: boolean;
  once(event: "close", listener: () => void): unknown;
}

/**
 * Limits on how many connections such as WebSockets stay open. Each user, each address and each workspace has a share, so none
 * can take all places.
 */
export class Places {
  readonly #what: string;
  readonly #limits: PlaceLimits;
  readonly #shares = new Map<string, number>();
  #taken = 0;

  /** @param what The kind of connection, in the plural, for the text of refusals. */
  constructor(what: string, limits: PlaceLimits) {
    this.#what = what;
    this.#limits = limits;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Takes a place until a response or socket is closed; returns it at once if that has already happened. Throws like `take`. */
  takeUntilClosed(holder: PlaceHolder, closed: Closable): void {
    const leave = this.take(holder);
    if (closed.destroyed) leave();
    else closed.once("close", leave);
  }

  /** Takes a place and returns a function that gives it back; call it once. Throws DomainError "too-many" or "busy". */
  take(holder: PlaceHolder): () => void {
    const shares = this.#sharesOf(holder);
    for (const { key, most, whose } of shares)
      if (this.#of(key) >= most) throw this.#full("too-many", `${whose}, at most ${most}`);
    const keys = shares.map(({ key }) => key);
    if (this.#taken >= this.#limits.total) throw this.#full("busy", "at this server");
    this.#taken++;
    for (const key of keys) this.#shares.set(key, this.#of(key) + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#taken--;
      for (const key of keys) {
        const count = this.#of(key) - 1;
        if (count === 0) this.#shares.delete(key);
        else this.#shares.set(key, count);
      }
    };
  }

  /** The shares from which the holder's place comes. */
  #sharesOf({ userId, address, workspaceId }: PlaceHolder): Share[] {
    const { perUser, perAddress, perWorkspace, perAddressOfWorkspace } = this.#limits;
    const shares: Share[] = [];
    if (perUser !== undefined && userId !== undefined)
      shares.push({ key: `user ${userId}`, most: perUser, whose: "from this account" });
    if (address !== undefined) {
      const whose = "from this address";
      for (const { source, times } of sourcesOf(address)) {
        if (perAddress !== undefined) shares.push({ key: `address ${source}`, most: perAddress * times, whose });
        if (perAddressOfWorkspace === undefined || workspaceId === undefined) continue;
        const key = `address ${source} workspace ${workspaceId}`;
        shares.push({ key, most: perAddressOfWorkspace * times, whose: "from this address to this workspace" });
      }
    }
    if (perWorkspace !== undefined && workspaceId !== undefined)
      shares.push({ key: `workspace ${workspaceId}`, most: perWorkspace, whose: "of this workspace" });
    return shares;
  }

  #of(key: string): number {
    return this.#shares.get(key) ?? 0;
  }

  #full(code: DomainErrorCode, where: string): DomainError {
    return new DomainError(code, `Too many open ${this.#what} ${where}.`, { retryAfterSeconds: 10 });
  }
}

interface Share {
  readonly key: string;
  readonly most: number;
  /** Whose share it is, in the words of a refusal. */
  readonly whose: string;
}

/** The blocks of an address, and how many times the share of one address each may have. */
function sourcesOf(address: string): { source: string; times: number }[] {
  const [block, site] = [addressBlock(address), siteBlock(address)];
  return site === block
    ? [{ source: block, times: 1 }]
    : [
        { source: block, times: 1 },
        { source: site, times: 2 },
      ];
}
