import { useSignal } from "@preact/signals";
import type { ShareLevel } from "coder-protocol/rest/apps";
import type { JSX } from "preact";
import { ConsentButton, Dialog } from "../../ui/dialog.tsx";
import type { PortRow } from "./port-rows.ts";

export const LEVEL_WORDS: Readonly<Record<ShareLevel, string>> = {
  owner: "Only you",
  authenticated: "Everyone who can log in here",
  organization: "Your organization",
  public: "Everyone with the address",
};
const LEVELS = ["owner", "authenticated", "organization", "public"] as const;
const HOUR_MS = 3_600_000;
const LENGTHS = [
  [1, "An hour"],
  [8, "8 hours"],
  [24, "A day"],
  [168, "A week"],
  [0, "Until it is ended"],
] as const;

export interface Chosen {
  readonly share_level: ShareLevel;
  readonly protocol: "http" | "https";
  readonly label: string;
  readonly expires_at: string | null;
}

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
  readonly onShare: (port: number, chosen: Chosen) => void;
}): JSX.Element {
  const level = useSignal<ShareLevel>(row.share?.share_level ?? "authenticated");
  const protocol = useSignal<"http" | "https">(row.share?.protocol ?? "http");
  const hours = useSignal(24);
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
            value={hours.value}
            disabled={level.value === "owner"}
            onChange={(event) => {
              hours.value = Number(event.currentTarget.value);
            }}
          >
            {LENGTHS.map(([value, text]) => (
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
            onShare(row.port, {
              share_level: level.value,
              protocol: protocol.value,
              label: label.value,
              expires_at:
                hours.value === 0 || level.value === "owner"
                  ? null
                  : new Date(Date.now() + hours.value * HOUR_MS).toISOString(),
            })
          }
        >
          {level.value === "owner" ? "End sharing" : "Share"}
        </ConsentButton>
      </div>
    </Dialog>
  );
}
