import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import type { Series } from "./plot-canvas.ts";

export interface PlotProps {
  readonly title: string;
  /** Seconds since 1970 of each point, ascending. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  /** Written after each value. */
  readonly unit: string;
  readonly note?: string;
}

/** Values over time, as a drawing or a table. */
export function Plot({ title, times, series, unit, note }: PlotProps): JSX.Element {
  const asTable = useSignal(false);
  const heading = useId();
  const empty = series.every(({ values }) => values.every((value) => value === null));
  return (
    <section class="plot" aria-labelledby={heading}>
      <header>
        <h4 id={heading}>{title}</h4>
        {empty ? null : (
          <button
            type="button"
            class="button small quiet-button"
            aria-pressed={asTable.value}
            onClick={() => {
              asTable.value = !asTable.value;
            }}
          >
            {asTable.value ? "As a plot" : "As a table"}
          </button>
        )}
      </header>
      {empty ? (
        <p class="quiet">Nothing was measured in this time.</p>
      ) : asTable.value ? (
        <Table times={times} series={series} unit={unit} />
      ) : (
        <Canvas title={title} times={times} series={series} unit={unit} />
      )}
      {note === undefined ? null : <p class="quiet small-text">{note}</p>}
    </section>
  );
}

function Canvas({ title, times, series, unit }: PlotProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const life = new AbortController();
    void import("./plot-canvas.ts").then(({ drawPlot }) => {
      if (box.current !== null && !life.signal.aborted) drawPlot(box.current, { times, series, unit }, life.signal);
    });
    return () => life.abort();
  }, [times, series, unit]);
  return <div ref={box} class="plot-box" role="img" aria-label={`${title}, drawn over time; a table has the values`} />;
}

/** Most rows of the table; steps are combined to fit. */
const MAX_ROWS = 24;

function Table({ times, series, unit }: Omit<PlotProps, "title">): JSX.Element {
  const step = Math.max(1, Math.ceil(times.length / MAX_ROWS));
  const rows = Array.from({ length: Math.ceil(times.length / step) }, (_, index) => index * step);
  return (
    <table class="list compact">
      <thead>
        <tr>
          <th scope="col">From</th>
          {series.map(({ label }) => (
            <th key={label} scope="col">
              {label}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((from) => (
          <tr key={from}>
            <th scope="row">
              {new Date((times[from] ?? 0) * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}
            </th>
            {series.map(({ label, values }) => (
              <td key={label} data-label={label}>
                {mean(values.slice(from, from + step), unit)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function mean(values: readonly (number | null)[], unit: string): string {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return "–";
  return `${Math.round((10 * known.reduce((sum, value) => sum + value, 0)) / known.length) / 10}${unit}`;
}
