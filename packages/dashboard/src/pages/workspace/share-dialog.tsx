import { useSignal } from "@preact/signals";
import type { ShareLevel } from "coder-protocol/rest/apps";
import type { JSX } from "preact";
import { ConsentButton, Dialog } from "../../ui/dialog.tsx";
import { LEVEL_WORDS, LEVELS } from "../share-levels.ts";
import type { PortRow } from "./port-rows.ts";
import { type ChosenShare, chosenShare, firstLength, shareLengths } from "./share-choice.ts";

/** With whom a port is shared, and for how long. */
export function ShareDialog({
  row,
  busy,
  onCancel,
  onShare,
}: {
  readonly row: PortRow;
  readonly busy: boolean;
  readonly onCancel: () => void;
  readonly onShare: (port: number, chosen: ChosenShare) => void;
}): JSX.Element {
  const level = useSignal<ShareLevel>(row.share?.share_level ?? "authenticated");
  const protocol = useSignal<"http" | "https">(row.share?.protocol ?? "http");
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
              onChange={() => {
                level.value = one;
              }}
            />
            {LEVEL_WORDS[one]}
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
            value={protocol.value}
            onChange={(event) => {
              protocol.value = event.currentTarget.value === "https" ? "https" : "http";
            }}
          >
            <option value="http">http</option>
            <option value="https">https</option>
          </select>
        </div>
      </div>
      <div class="field">
        <label for="share-label">Label</label>
        <input
          id="share-label"
          maxLength={64}
          value={label.value}
          placeholder="What it is, such as: staging for review"
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
                { level: level.value, protocol: protocol.value, label: label.value, length: length.value },
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
