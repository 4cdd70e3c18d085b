import { useSignal } from "@preact/signals";
import type { HealthSeverity, ReplicaHealth } from "coder-protocol/rest/deployment";
import type { WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import type { JSX } from "preact";
import { type HealthSection, health, type Health as Report } from "../api/deployment.ts";
import { useResource } from "../live/resource.ts";
import { isOwner } from "../session/session.ts";
import { Breadcrumbs } from "../ui/breadcrumbs.tsx";
import { useWork } from "../ui/form.tsx";
import { Icon } from "../ui/icon.tsx";
import { Problem } from "../ui/problem.tsx";
import { State, type Tone } from "../ui/state.tsx";
import { Time } from "../ui/time.tsx";
import { findingsOfSection } from "./health-findings.ts";
import { remedyOf } from "./health-remedies.ts";
import { OwnersOnly } from "./owners-only.tsx";
import { ProxyTable } from "./proxies/proxy-table.tsx";
import { ReplicaReports } from "./replicas.tsx";

const SECTIONS = [
  ["access_url", "Access URL", "Whether this deployment is reachable under the address that clients and agents use"],
  ["database", "Database", "Whether the store answers quickly"],
  ["derp", "Relays and STUN", "Whether relays carry data and STUN servers answer"],
  ["websocket", "WebSockets", "Whether a proxy on the way lets WebSockets pass"],
  ["interfaces", "Network interfaces", "Whether packets of the tunnel fit"],
  ["replicas", "Servers", "Whether the servers of this deployment are healthy and fit together"],
  ["workspace_proxy", "Workspace proxies", "How the proxies answered when they were last checked"],
  ["wildcard", "Web apps", "Whether browsers reach the names of apps, and what they share with this deployment"],
] as const;

const TONES: Readonly<Record<HealthSeverity, Tone>> = { ok: "ok", warning: "warn", error: "bad" };
const WORDS: Readonly<Record<HealthSeverity, string>> = { ok: "Healthy", warning: "Warning", error: "Failing" };

export function Health(): JSX.Element {
  return isOwner.value ? <Page /> : <OwnersOnly title="Health" />;
}

function Page(): JSX.Element {
  const { data, error, reload } = useResource("health", { load: health });
  const fresh = useSignal<Report | undefined>(undefined);
  const work = useWork();
  const report = fresh.value ?? data.value;
  return (
    <section class="page">
      <Breadcrumbs steps={[]} />
      <div class="page-head">
        <h1>Health</h1>
        <button
          type="button"
          class="button"
          disabled={work.running}
          onClick={() =>
            work.run(async () => {
              fresh.value = await health(new AbortController().signal, true);
            })
          }
        >
          <Icon name="refresh" /> {work.running ? "Checking…" : "Check again"}
        </button>
      </div>
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      {work.error === undefined ? null : <Problem error={work.error} />}
      {report === undefined ? (
        <p class="quiet">Checking…</p>
      ) : (
        <>
          <p class="facts">
            <State tone={TONES[report.severity]}>{WORDS[report.severity]}</State>
            <span>
              Checked <Time at={report.time} />
            </span>
            <span>Version {report.coder_version}</span>
          </p>
          {SECTIONS.map(([name, title, about]) => {
            const section = report[name] as HealthSection | undefined;
            return section === undefined ? null : <Section key={name} title={title} about={about} section={section} />;
          })}
        </>
      )}
    </section>
  );
}

function Section({
  title,
  about,
  section,
}: {
  readonly title: string;
  readonly about: string;
  readonly section: HealthSection;
}): JSX.Element {
  return (
    <article class="agent">
      <header>
        <h2>{title}</h2>
        <State tone={TONES[section.severity]}>{WORDS[section.severity]}</State>
        <span class="quiet">{about}</span>
      </header>
      {findingsOfSection(section).map(({ code, message, isError }) => (
        <div key={`${code}${message}`} class={isError ? "problem" : "problem minor"}>
          <p>
            {code === "" ? null : <code>{code}</code>} {message}
          </p>
          {remedyOf(code) === undefined ? null : <p class="quiet">{remedyOf(code)}</p>}
        </div>
      ))}
      {section.workspace_proxies === undefined ? null : <ProxyList proxies={section.workspace_proxies.regions} />}
      {"replicas" in section ? (
        <div class="table-box">
          <ReplicaReports replicas={section["replicas"] as readonly ReplicaHealth[]} />
        </div>
      ) : null}
      <details>
        <summary>Details</summary>
        <pre class="log">{JSON.stringify(section, null, 2)}</pre>
      </details>
    </article>
  );
}

function ProxyList({ proxies }: { readonly proxies: readonly WorkspaceProxy[] }): JSX.Element {
  return (
    <div class="table-box">
      {proxies.length === 0 ? (
        <p class="quiet">There are none.</p>
      ) : (
        <>
          <ProxyTable proxies={proxies} />
          <a href="/deployment/proxies">Administer the proxies</a>
        </>
      )}
    </div>
  );
}
