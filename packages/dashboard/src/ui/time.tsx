import type { JSX } from "preact";
import { ago } from "../base/words.ts";
import { now } from "../session/clock.ts";

/** A time in words, with the exact time as its title. Go's zero time counts as absent. */
export function Time({ at, none = "never" }: { readonly at: string | undefined; readonly none?: string }): JSX.Element {
  const ms = at === undefined || at.startsWith("0001-") ? Number.NaN : Date.parse(at);
  if (Number.isNaN(ms)) return <span class="quiet">{none}</span>;
  return (
    <time dateTime={at} title={new Date(ms).toLocaleString()}>
      {ago(ms, now.value)}
    </time>
  );
}
