import { useSignal } from "@preact/signals";
import type { PortKind } from "coder-protocol/rest/agents";
import type { ShareLevel } from "coder-protocol/rest/apps";
import type { JSX } from "preact";
import { ConsentButton, Dialog } from "../../ui/dialog.tsx";
import { isAllowed, LEVEL_WORDS, LEVELS } from "../share-levels.ts";
import type { PortRow } from "./port-rows.ts";
import { type ChosenShare, chosenShare, firstLength, firstLevel, shareLengths } from "./share-choice.ts";

const KIND_WORDS: Readonly<Record<PortKind | "unknown", string>> = {
  http: "It speaks http.",
  https: "It speaks https.",
  other: "It speaks neither http nor https, so a browser cannot show it.",
  unknown: "It is not known what the program speaks.",
};

/** Chooses with whom a port is shared, and for how long. */
export function ShareDialog({
  row,
  kind,
  maxLevel,
  busy,
  onCancel,
  onShare,
}: {
  readonly row: PortRow;
  /** The program's protocol, once it is known. */
  readonly kind: PortKind | undefined;
  /** The widest level that an administrator allows. */
  readonly maxLevel: ShareLevel;
  readonly busy: boolean;
  readonly onCancel: () => void;
  readonly onShare: (port: number, chosen: ChosenShare) => void;
}): JSX.Element {
  const level = useSignal(firstLevel(row.share, maxLevel));
  const chosen = useSignal<"http" | "https" | undefined>(row.share?.protocol);
  const protocol = chosen.value ?? (kind === "https" ? "https" : "http");
  const localhost = useSignal(row.share?.host_header === "localhost");
  const length = useSignal(firstLength(row.share));
  const label = useSignal(row.share?.label ?? "");
  return (
    <Dialog title={`Share port ${row.port}`} onCancel={onCancel}>
      <fieldset class="choice">
        <legend>With</legend>
        {LEVELS.map((one) => (
          <label key={one}>
            <input
              type="radio"
              name="level"
              checked={level.value === one}
              disabled={!isAllowed(one, maxLevel)}
              onChange={() => {
                level.value = one;
              }}
            />
            {LEVEL_WORDS[one]}
            {isAllowed(one, maxLevel) ? null : <span class="quiet"> (not allowed by the administrator)</span>}
          </label>
        ))}
      </fieldset>
      <div class="row">
        <div class="field">
          <label for="share-length">For</label>
          <select
            id="share-length"
            value={length.value}
            disabled={level.value === "owner"}
            onChange={(event) => {
              length.value = event.currentTarget.value;
            }}
          >
            {shareLengths(row.share).map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for="share-protocol">The program speaks</label>
          <select
            id="share-protocol"
            value={protocol}
            onChange={(event) => {
              chosen.value = event.currentTarget.value === "https" ? "https" : "http";
            }}
          >
            <option value="http">http</option>
            <option value="https">https</option>
          </select>
          <p class="small-text quiet">{KIND_WORDS[kind ?? "unknown"]}</p>
        </div>
      </div>
      <label class="inline">
        <input
          type="checkbox"
          checked={localhost.value}
          onChange={(event) => {
            localhost.value = event.currentTarget.checked;
          }}
        />
        The program takes requests for localhost only
      </label>
      <div class="field">
        <label for="share-label">Label</label>
        <input
          id="share-label"
          maxLength={64}
          value={label.value}
          placeholder="What it is for, such as: staging for review"
          onInput={(event) => {
            label.value = event.currentTarget.value;
          }}
        />
      </div>
      <div class="actions">
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
        <ConsentButton
          disabled={busy}
          onAgree={() =>
            onShare(
              row.port,
              chosenShare(
                row.share,
                {
                  level: level.value,
                  protocol,
                  label: label.value,
                  length: length.value,
                  localhost: localhost.value,
                },
                Date.now(),
              ),
            )
          }
        >
          {level.value === "owner" ? "End sharing" : "Share"}
        </ConsentButton>
      </div>
    </Dialog>
  );
}
