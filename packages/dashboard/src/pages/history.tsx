import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import type { HistoryRange, NetworkHistory } from "../api/network.ts";
import { useResource } from "../live/resource.ts";
import { Plot } from "../ui/plot.tsx";
import { Problem } from "../ui/problem.tsx";

const REFRESH_MS = 30_000;
const RANGES = [
  ["1h", "Last hour"],
  ["24h", "Last day"],
] as const;

/** Latency and paths over time. `of` names what is shown, to distinguish several histories. */
export function History({
  of,
  load,
  withLatency,
}: {
  readonly of: string;
  readonly load: (range: HistoryRange, signal: AbortSignal) => Promise<NetworkHistory>;
  readonly withLatency: boolean;
}): JSX.Element {
  const range = useSignal<HistoryRange>("1h");
  return (
    <>
      <fieldset class="segments">
        <legend class="hidden">Time range</legend>
        {RANGES.map(([value, label]) => (
          <button
            key={value}
            type="button"
            class="button small"
            aria-pressed={range.value === value}
            onClick={() => {
              range.value = value;
            }}
          >
            {label}
          </button>
        ))}
      </fieldset>
      <Plots key={range.value} of={of} range={range.value} load={load} withLatency={withLatency} />
    </>
  );
}

function Plots({
  of,
  range,
  load,
  withLatency,
}: {
  readonly of: string;
  readonly range: HistoryRange;
  readonly load: (range: HistoryRange, signal: AbortSignal) => Promise<NetworkHistory>;
  readonly withLatency: boolean;
}): JSX.Element {
  const { data, error, reload } = useResource(`history:${of}:${range}`, {
    load: (signal) => load(range, signal),
    watch: (changes, life) => {
      const timer = setInterval(() => {
        if (document.visibilityState === "visible") changes.reload();
      }, REFRESH_MS);
      life.addEventListener("abort", () => clearInterval(timer));
    },
  });
  const history = data.value;
  const times = useMemo(() => timesOf(history), [history]);
  const latency = useMemo(
    () => [{ label: "Latency", values: history?.latency_ms ?? [], colour: "--accent" as const }],
    [history],
  );
  const paths = useMemo(
    () => [
      { label: "Direct", values: history?.direct ?? [], colour: "--ok" as const },
      { label: "Relayed", values: history?.relayed ?? [], colour: "--warn" as const, dashed: true as const },
    ],
    [history],
  );
  if (error.value !== undefined) return <Problem error={error.value} retry={reload} />;
  if (history === undefined) return <p class="quiet">One moment…</p>;
  return (
    <div class="plots">
      {withLatency ? <Plot title="Median latency" times={times} series={latency} unit=" ms" /> : null}
      <Plot
        title="Clients"
        times={times}
        series={paths}
        unit=""
        note="Kept in the memory of the server; a restart clears it."
      />
    </div>
  );
}

function timesOf(history: NetworkHistory | undefined): readonly number[] {
  if (history === undefined) return [];
  const from = Date.parse(history.from) / 1000;
  return history.direct.map((_, index) => from + index * history.step_s);
}
