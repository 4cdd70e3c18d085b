import type { Replica, ReplicaHealth } from "coder-protocol/rest/deployment";
import type { JSX } from "preact";
import { capital } from "../base/words.ts";
import { State, type Tone } from "../ui/state.tsx";
import { Time } from "../ui/time.tsx";
import { findingsOf, shortId, wordsOf } from "./replica-words.ts";

const TONES: Readonly<Record<ReplicaHealth["severity"], Tone>> = { ok: "ok", warning: "warn", error: "bad" };

/** The servers of the deployment with their last reports, for the health page. */
export function ReplicaReports({ replicas }: { readonly replicas: readonly ReplicaHealth[] }): JSX.Element {
  return (
    <table class="list top">
      <thead>
        <tr>
          <th scope="col">Server</th>
          <th scope="col">State</th>
          <th scope="col">Findings</th>
        </tr>
      </thead>
      <tbody>
        {replicas.map((replica, index) => (
          <tr key={replica.id}>
            <th scope="row">
              {replica.hostname} {index === 0 ? <span class="quiet">(this one)</span> : null}
              <p class="quiet small-text">
                <code>{shortId(replica.id)}</code> version {replica.version}, region {replica.region_id}
              </p>
            </th>
            <td data-label="State">
              <State tone={replica.report === null ? "idle" : TONES[replica.severity]}>{wordsOf(replica)}</State>
              <p class="quiet small-text">
                {replica.report === null ? null : (
                  <>
                    checked <Time at={replica.report.time} />
                  </>
                )}
              </p>
            </td>
            <td data-label="Findings">
              {index === 0 ? (
                <span class="quiet">those of this page</span>
              ) : (
                findingsOf(replica).map((finding) => (
                  <p key={finding} class="small-text">
                    {finding}
                  </p>
                ))
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The servers of the deployment, for its overview. */
export function ReplicaList({ replicas }: { readonly replicas: readonly Replica[] }): JSX.Element {
  return (
    <table class="list top">
      <thead>
        <tr>
          <th scope="col">Server</th>
          <th scope="col">Relay</th>
          <th scope="col">Database</th>
          <th scope="col">Since</th>
        </tr>
      </thead>
      <tbody>
        {replicas.map((replica, index) => (
          <tr key={replica.id}>
            <th scope="row">
              {replica.hostname} {index === 0 ? <span class="quiet">(this one)</span> : null}
              <p class="quiet small-text">
                <code>{shortId(replica.id)}</code> version {replica.version}
              </p>
              {replica.error === "" ? null : <p class="small-text">{capital(replica.error)}</p>}
            </th>
            <td data-label="Relay">
              {replica.relay_address === "" ? <span class="quiet">none</span> : <code>{replica.relay_address}</code>}
            </td>
            <td data-label="Database">{(replica.database_latency / 1_000).toFixed(1)} ms</td>
            <td data-label="Since">
              <Time at={replica.created_at} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
