import type { ShareLevel } from "coder-protocol/rest/apps";
import type { JSX } from "preact";
import { type DeploymentShare, deploymentShares } from "../api/deployment.ts";
import { useResource } from "../live/resource.ts";
import { isOwner } from "../session/session.ts";
import { Problem } from "../ui/problem.tsx";
import { State } from "../ui/state.tsx";
import { Time } from "../ui/time.tsx";
import { DeploymentFrame } from "./deployment-frame.tsx";
import { OwnersOnly } from "./owners-only.tsx";
import { LEVEL_WORDS } from "./share-levels.ts";

/** Everything that is shared beyond the owner of its workspace. */
export function Shares(): JSX.Element {
  return isOwner.value ? <Page /> : <OwnersOnly title="Shares" />;
}

function Page(): JSX.Element {
  const { data, error, reload } = useResource("deployment-shares", { load: deploymentShares });
  const shares = data.value?.shares;
  return (
    <DeploymentFrame title="Shares">
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      {shares?.length === 0 ? <p class="quiet">Nothing is shared beyond the owners of the workspaces.</p> : null}
      {shares === undefined || shares.length === 0 ? null : (
        <table class="list">
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">Workspace</th>
              <th scope="col">Shared with</th>
              <th scope="col">Label</th>
              <th scope="col">Ends</th>
              <th scope="col">Shared by</th>
            </tr>
          </thead>
          <tbody>
            {shares.map((share) => (
              <Row key={`${share.workspace}/${share.agent}/${share.slug ?? share.port}`} share={share} />
            ))}
          </tbody>
        </table>
      )}
    </DeploymentFrame>
  );
}

function Row({ share }: { readonly share: DeploymentShare }): JSX.Element {
  const what = share.slug === undefined || share.slug === null ? `Port ${share.port}` : share.slug;
  return (
    <tr>
      <th scope="row">{what}</th>
      <td data-label="Workspace">
        <a href={`/@${share.owner}/${share.workspace}`}>
          {share.owner}/{share.workspace}
        </a>{" "}
        <span class="quiet">{share.agent}</span>
      </td>
      <td data-label="Shared with">
        <State tone={share.effective_level === "public" ? "warn" : "ok"}>{wordsOf(share.effective_level)}</State>
        {share.effective_level === share.level ? null : (
          <p class="small-text">Lowered by --max-share-level from: {wordsOf(share.level)}</p>
        )}
      </td>
      <td data-label="Label">{share.label === "" ? "–" : share.label}</td>
      <td data-label="Ends">
        <Time at={share.expires_at ?? undefined} none="when it is ended" />
      </td>
      <td data-label="Shared by">{share.created_by === "" ? "–" : share.created_by}</td>
    </tr>
  );
}

/** Words for workspaces of other users. */
function wordsOf(level: ShareLevel): string {
  return level === "owner" ? "Only the owner" : LEVEL_WORDS[level];
}
