import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { deploymentHistory, deploymentNetwork, type RelayRegion } from "../api/network.ts";
import { count, milliseconds } from "../base/words.ts";
import { useResource } from "../live/resource.ts";
import { isOwner } from "../session/session.ts";
import { Problem } from "../ui/problem.tsx";
import { State } from "../ui/state.tsx";
import { DeploymentFrame } from "./deployment-frame.tsx";
import { History } from "./history.tsx";
import { OwnersOnly } from "./owners-only.tsx";
import { relayLatency } from "./relay-latency.ts";

/** Smallest scale of the bars, so that a LAN does not look slow. */
const LEAST_SCALE_MS = 50;
/** How many regions are measured at the same time. */
const PARALLEL = 6;

export function Network(): JSX.Element {
  return isOwner.value ? <Page /> : <OwnersOnly title="Network" />;
}

function Page(): JSX.Element {
  const { data, error, reload } = useResource("deployment-network", { load: deploymentNetwork });
  const network = data.value;
  return (
    <DeploymentFrame title="Network">
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      {network === undefined ? null : (
        <>
          <section>
            <h2>Relay regions</h2>
            <p class="quiet">Latency is measured from this browser, now.</p>
            <Regions regions={network.regions} />
          </section>
          <section>
            <h2>Paths of clients</h2>
            <Shares {...network.connections} />
            <History of="deployment" load={deploymentHistory} withLatency={false} />
          </section>
        </>
      )}
    </DeploymentFrame>
  );
}

type Measured = Readonly<Record<number, number | "unreachable">>;

function Regions({ regions }: { readonly regions: readonly RelayRegion[] }): JSX.Element {
  const measured = useSignal<Measured>({});
  useEffect(() => {
    const life = new AbortController();
    const waiting = [...regions];
    const worker = async (): Promise<void> => {
      for (let region = waiting.shift(); region !== undefined; region = waiting.shift()) {
        const latency = await relayLatency(region.latency_urls, life.signal);
        if (life.signal.aborted) return;
        measured.value = { ...measured.value, [region.region_id]: latency ?? "unreachable" };
      }
    };
    void Promise.all(Array.from({ length: PARALLEL }, worker));
    return () => life.abort();
  }, [regions, measured]);
  const known = Object.values(measured.value).filter((value) => typeof value === "number");
  const scale = Math.max(LEAST_SCALE_MS, ...known);
  const sorted = [...regions].sort((one, other) => order(measured.value, one) - order(measured.value, other));
  return (
    <table class="list">
      <thead>
        <tr>
          <th scope="col">Region</th>
          <th scope="col">From this browser</th>
          <th scope="col">Home of</th>
        </tr>
      </thead>
      <tbody>
        {sorted.map((region) => (
          <tr key={region.region_id}>
            <th scope="row">
              {region.name} <span class="quiet">{region.code}</span>
            </th>
            <td data-label="From this browser">
              <Bar latency={measured.value[region.region_id]} scale={scale} />
            </td>
            <td data-label="Home of">{count(region.agents, "agent")}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function order(measured: Measured, { region_id: id }: RelayRegion): number {
  const latency = measured[id];
  return typeof latency === "number" ? latency : Number.MAX_SAFE_INTEGER;
}

function Bar({
  latency,
  scale,
}: {
  readonly latency: number | "unreachable" | undefined;
  readonly scale: number;
}): JSX.Element {
  if (latency === undefined) return <span class="quiet">Measuring…</span>;
  if (latency === "unreachable") return <State tone="bad">Not reachable from here</State>;
  return (
    <span class="latency-bar">
      <span class="latency-track" aria-hidden="true">
        <span class="latency-fill" style={{ width: `${Math.max(2, (100 * latency) / scale)}%` }} />
      </span>
      {milliseconds(latency)}
    </span>
  );
}

function Shares({
  direct,
  relayed,
  unknown,
}: {
  readonly direct: number;
  readonly relayed: number;
  readonly unknown: number;
}): JSX.Element {
  const all = direct + relayed + unknown;
  if (all === 0) return <p class="quiet">No client is connected at the moment.</p>;
  const parts = [
    ["direct", direct, "ok", "direct"],
    ["relayed", relayed, "warn", "relayed"],
    ["unknown", unknown, "idle", "not reported"],
  ] as const;
  return (
    <>
      <span class="share-bar" aria-hidden="true">
        {parts.map(([key, value]) => (
          <span key={key} class={`share ${key}`} style={{ flexGrow: value }} />
        ))}
      </span>
      <p class="facts">
        {parts
          .filter(([, value]) => value > 0)
          .map(([key, value, tone, word]) => (
            <State key={key} tone={tone}>{`${Math.round((100 * value) / all)} % ${word} (${value})`}</State>
          ))}
      </p>
    </>
  );
}
