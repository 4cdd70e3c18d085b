/** An app as far as requests to it and the answers about it need it. */
import type { AppTarget } from "./decision.ts";

export interface ShownApp {
  readonly target: AppTarget;
  readonly state: "running" | "stopped" | "offline";
  readonly owner: { readonly id: string; readonly username: string };
  readonly workspace: { readonly id: string; readonly name: string };
  readonly agent: {
    readonly id: string;
    /** Null: it never was, or it is not known. */
    readonly last_connected_at: number | null;
  };
}
