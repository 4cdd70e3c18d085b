/** The facts about an app that requests to it and answers about it need. */
import type { AppTarget } from "./decision.ts";

export interface ShownApp {
  readonly target: AppTarget;
  readonly state: "running" | "stopped" | "offline";
  readonly owner: { readonly id: string; readonly username: string };
  readonly workspace: { readonly id: string; readonly name: string };
  readonly agent: {
    readonly id: string;
    /** Null if it never connected or the time is unknown. */
    readonly last_connected_at: number | null;
  };
}
