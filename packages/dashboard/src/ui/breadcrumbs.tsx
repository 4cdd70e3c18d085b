import type { JSX } from "preact";
import { lastAnswerAt } from "../api/client.ts";
import { clockTime } from "../base/words.ts";
import { now } from "../session/clock.ts";

/** Where a page is, and the time of the latest data. */
export function Breadcrumbs({ steps }: { readonly steps: readonly (readonly [string, string])[] }): JSX.Element {
  // Read so that the line is rendered again when the clock ticks.
  void now.value;
  return (
    <div class="crumbs">
      <nav aria-label="Breadcrumb">
        <ol>
          {steps.map(([href, label]) => (
            <li key={href}>
              <a href={href}>{label}</a>
            </li>
          ))}
        </ol>
      </nav>
      <span class="quiet">Updated {clockTime(lastAnswerAt.peek())}</span>
    </div>
  );
}
