/** Draws a plot; loaded when the first one is shown. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  readonly label: string;
  readonly values: readonly (number | null)[];
  /** The custom property of the theme that defines the colour. */
  readonly colour: `--${string}`;
  readonly dashed?: true;
}

const HEIGHT = 150;

export function drawPlot(
  box: HTMLElement,
  data: { readonly times: readonly number[]; readonly series: readonly Series[]; readonly unit: string },
  life: AbortSignal,
): void {
  const values: uPlot.AlignedData = [
    [...data.times],
    ...data.series.map((series) => [...series.values] as (number | null)[]),
  ];
  let plot: uPlot | undefined;
  const draw = (): void => {
    plot?.destroy();
    plot = new uPlot(options(box, data), values, box);
  };
  draw();
  const resize = new ResizeObserver(() => plot?.setSize({ width: box.clientWidth, height: HEIGHT }));
  resize.observe(box);
  // Colours are drawn on the canvas, so a change of theme needs another drawing.
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", draw, { signal: life });
  life.addEventListener("abort", () => {
    resize.disconnect();
    plot?.destroy();
  });
}

function options(
  box: HTMLElement,
  { series, unit }: { readonly series: readonly Series[]; readonly unit: string },
): uPlot.Options {
  const colour = (name: string): string => resolved(box, name);
  const axis: uPlot.Axis = {
    stroke: colour("--quiet"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
    font: "11px system-ui, sans-serif",
  };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    cursor: { y: false },
    legend: { live: false },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.1)] } },
    axes: [axis, { ...axis, size: 56, values: (_plot, ticks) => ticks.map((tick) => `${tick}${unit}`) }],
    series: [
      {},
      ...series.map(
        (one): uPlot.Series => ({
          label: one.label,
          stroke: colour(one.colour),
          width: 1.5,
          dash: one.dashed ? [5, 4] : [],
          points: { show: false },
          value: (_plot, value) => (value === null || value === undefined ? "–" : `${value}${unit}`),
        }),
      ),
    ],
  };
}

/** A custom property may be `light-dark(…)`; the computed style of an element has the actual colour. */
function resolved(box: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  box.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
