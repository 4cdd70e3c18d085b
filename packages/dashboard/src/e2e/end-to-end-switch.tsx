/**
 * Whether terminals use tunnels of this tab: if the workspace requires it, the address requests it, or it was the last choice in
 * this browser. An address never switches it off.
 */
import { useSignal } from "@preact/signals";
import type { Workspace } from "coder-protocol/rest/workspaces";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

const CHOICE = "terminal-end-to-end";

export interface EndToEndChoice {
  readonly on: boolean;
  /** The workspace accepts only end-to-end terminals. */
  readonly required: boolean;
  choose(on: boolean): void;
}

export function useEndToEnd(workspace: Workspace, query: URLSearchParams): EndToEndChoice {
  const required = workspace.require_e2e === true;
  const chosen = useSignal(query.get("e2e") === "1" || localStorage.getItem(CHOICE) === "1");
  // Open terminals stay end-to-end when the workspace no longer requires it.
  useEffect(() => {
    if (required) chosen.value = true;
  }, [required, chosen]);
  const on = required || chosen.value;
  return {
    on,
    required,
    choose: (wanted) => {
      localStorage.setItem(CHOICE, wanted ? "1" : "0");
      chosen.value = wanted;
    },
  };
}

export function EndToEndSwitch({ choice }: { readonly choice: EndToEndChoice }): JSX.Element {
  return (
    <label title="Only this tab and the workspace can read the terminal">
      <input
        type="checkbox"
        checked={choice.on}
        disabled={choice.required}
        onChange={(event) => choice.choose(event.currentTarget.checked)}
      />
      End-to-end
    </label>
  );
}
