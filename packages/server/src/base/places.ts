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
    const { total, perUser, perAddress, perWorkspace } = this.#limits;
    const keys: string[] = [];
    if (perUser !== undefined && holder.userId !== undefined) {
      const key = `user ${holder.userId}`;
      if (this.#of(key) >= perUser) throw this.#full("too-many", `from this account, at most ${perUser}`);
      keys.push(key);
    }
    if (perAddress !== undefined && holder.address !== undefined) {
      const [block, site] = [addressBlock(holder.address), siteBlock(holder.address)];
      const shares: [string, number][] = [[block, perAddress]];
      if (site !== block) shares.push([site, perAddress * 2]);
      for (const [source, share] of shares) {
        const key = `address ${source}`;
        if (this.#of(key) >= share) throw this.#full("too-many", `from this address, at most ${share}`);
        keys.push(key);
      }
    }
    if (perWorkspace !== undefined && holder.workspaceId !== undefined) {
      const key = `workspace ${holder.workspaceId}`;
      if (this.#of(key) >= perWorkspace) throw this.#full("too-many", `of this workspace, at most ${perWorkspace}`);
      keys.push(key);
    }
    if (this.#taken >= total) throw this.#full("busy", "at this server");
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

  #of(key: string): number {
    return this.#shares.get(key) ?? 0;
  }

  #full(code: DomainErrorCode, where: string): DomainError {
    return new DomainError(code, `Too many open ${this.#what} ${where}.`, { retryAfterSeconds: 10 });
  }
}
