import type { JSX } from "preact";
import { useAgentMetadata } from "../../live/sources.ts";
import { Time } from "../../ui/time.tsx";

/** Facts that the agent collects. They come from the workspace, so they are shown as plain text. */
export function MetadataTiles({ agentId }: { readonly agentId: string }): JSX.Element | null {
  const facts = useAgentMetadata(agentId).data.value ?? [];
  if (facts.length === 0) return null;
  return (
    <section aria-label="Metadata">
      <h3>Metadata</h3>
      <dl class="tiles">
        {facts.map(({ description, result }) => (
          <div key={description.key} class="tile">
            <dt>{description.display_name === "" ? description.key : description.display_name}</dt>
            <dd class={result.error === "" ? undefined : "bad"}>
              {(result.error === "" ? result.value : result.error) || "–"}
            </dd>
            <dd class="quiet small-text">
              <Time at={result.collected_at} none="not collected yet" />
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
