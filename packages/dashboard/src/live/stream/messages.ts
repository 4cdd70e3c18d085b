/** Messages between tabs and the holder of the stream over a MessagePort. */
import type { DashboardTopic } from "coder-protocol/rest/dashboard";

export type Arguments = Readonly<Record<string, string | number>>;
/** The data of a topic. Objects come from JSON and are spread, never assigned, so that "__proto__" stays a key. */
export type Data = Readonly<Record<string, unknown>>;

export interface Subscription {
  readonly topic: DashboardTopic;
  readonly args: Arguments;
}

export type FromTab =
  | ({ readonly type: "join"; readonly key: string } & Subscription)
  | { readonly type: "leave"; readonly key: string }
  /** The login was checked and is still valid. */
  | { readonly type: "retry" }
  | { readonly type: "alive" }
  | { readonly type: "gone" };

export type ToTab =
  | { readonly type: "snapshot"; readonly key: string; readonly data: Data }
  | { readonly type: "patch"; readonly key: string; readonly set: Data; readonly del: readonly string[] }
  | { readonly type: "error"; readonly key: string; readonly status: number; readonly message: string }
  | { readonly type: "link"; readonly up: boolean }
  | { readonly type: "denied" }
  /** The holder took this tab for closed, so the tab joins again over a new port. */
  | { readonly type: "forgotten" };

export function patched(data: Data, set: Data, del: readonly string[]): Data {
  const changed = { ...data, ...set };
  for (const key of del) delete changed[key];
  return changed;
}
