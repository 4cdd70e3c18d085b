const MAX_KNOWN = 20_000;

/** To whom workspaces belong. An owner never changes, so the answers are kept; beyond {@link MAX_KNOWN}, the oldest are dropped. */
export class WorkspaceOwners {
  readonly #lookUp: (workspaceId: string) => Promise<string | undefined>;
  readonly #known = new Map<string, Promise<string | undefined>>();

  constructor(lookUp: (workspaceId: string) => Promise<string | undefined>) {
    this.#lookUp = lookUp;
  }

  /** The id of the user; undefined if there is no such workspace. */
  of(workspaceId: string): Promise<string | undefined> {
    const known = this.#known.get(workspaceId);
    if (known !== undefined) return known;
    const owner = this.#lookUp(workspaceId);
    this.#known.set(workspaceId, owner);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX_KNOWN) break;
      this.#known.delete(oldest);
    }
    const forget = (): void => {
      if (this.#known.get(workspaceId) === owner) this.#known.delete(workspaceId);
    };
    owner.then((found) => found === undefined && forget(), forget);
    return owner;
  }
}
