import type { JSX } from "preact";
import type { Region } from "../api/regions.ts";
import { milliseconds } from "../base/words.ts";
import { regions } from "./regions.ts";

/** Chooses the region for terminals and apps opened from now on; shown only if there are several. */
export function RegionChooser(): JSX.Element | null {
  const list = regions.list.value;
  if (list.length < 2) return null;
  const active = list.find(({ id }) => id === regions.active.value);
  const choice = regions.choice.value;
  return (
    <select
      class="region-chooser"
      aria-label="Region of terminals and apps"
      title="Carries the terminals and apps that are opened from now on"
      value={choice?.by === "person" ? choice.id : ""}
      onFocus={() => void regions.measure()}
      onPointerEnter={() => void regions.measure()}
      onChange={(event) => {
        const { value } = event.currentTarget;
        regions.choose(value === "" ? undefined : value);
      }}
    >
      <option value="">
        {active === undefined || choice?.by === "person" ? "Nearest region" : `Nearest: ${nameOf(active)}`}
      </option>
      {list.map((region) => (
        <option key={region.id} value={region.id}>
          {`${nameOf(region)}${noteOf(region)}`}
        </option>
      ))}
    </select>
  );
}

function nameOf({ name, display_name }: Region): string {
  return display_name === "" ? name : display_name;
}

function noteOf({ id, healthy }: Region): string {
  if (!healthy) return " · away at present";
  const latency = regions.latencies.value?.get(id);
  return latency === undefined ? "" : ` · ${milliseconds(latency)}`;
}
