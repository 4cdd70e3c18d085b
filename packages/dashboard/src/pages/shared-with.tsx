import type { ShareLevel } from "coder-protocol/rest/apps";
import type { JSX } from "preact";
import { State } from "../ui/state.tsx";
import { LEVEL_WORDS } from "./share-levels.ts";

/** The effective level, and the chosen one if an administrator has lowered it since. */
export function SharedWith({
  chosen,
  effective,
}: {
  readonly chosen: ShareLevel;
  readonly effective: ShareLevel;
}): JSX.Element {
  return (
    <>
      {effective === "owner" ? <span class="quiet">{LEVEL_WORDS.owner}</span> : LEVEL_WORDS[effective]}
      {effective === chosen ? null : (
        <p class="small-text">
          <State tone="warn">Lowered by the administrator</State> from: {LEVEL_WORDS[chosen]}
        </p>
      )}
    </>
  );
}
