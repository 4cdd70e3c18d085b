import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { agentCauses, type Cause } from "../../api/network.ts";
import { useResource } from "../../live/resource.ts";
import { Problem } from "../../ui/problem.tsx";

/** Who can change it, for each side that the diagnosis names. */
const WHO: Readonly<Record<string, string>> = {
  workspace: "the administrator of the workspace's network",
  "this machine": "you, on the client's machine",
  "network between": "the operators of the networks between",
  administrator: "an administrator of this deployment",
};

/** Why clients are relayed, if the workspace's network is the reason. Shown on request, or when all clients are relayed. */
export function Reasons({ agentId, relayed }: { readonly agentId: string; readonly relayed: boolean }): JSX.Element {
  const asked = useSignal(false);
  useEffect(() => {
    if (relayed) asked.value = true;
  }, [relayed, asked]);
  if (!asked.value)
    return (
      <button
        type="button"
        class="button small"
        onClick={() => {
          asked.value = true;
        }}
      >
        Check the workspace's network
      </button>
    );
  return <Found agentId={agentId} relayed={relayed} />;
}

function Found({ agentId, relayed }: { readonly agentId: string; readonly relayed: boolean }): JSX.Element {
  const { data, error, reload } = useResource(`causes:${agentId}`, { load: (signal) => agentCauses(agentId, signal) });
  if (error.value !== undefined) return <Problem error={error.value} retry={reload} />;
  if (data.value === undefined) return <p class="quiet small-text">Asking the agent about its network…</p>;
  const causes = data.value.causes.filter(({ severity }) => severity !== "note");
  if (causes.length === 0)
    return (
      <p class="small-text">
        The workspace's network allows direct paths.
        {relayed ? " The client's network may not: coder ping shows what stands in its way." : ""}
      </p>
    );
  return (
    <ul class="reasons">
      {causes.map((cause) => (
        <Reason key={cause.code} cause={cause} />
      ))}
    </ul>
  );
}

function Reason({ cause }: { readonly cause: Cause }): JSX.Element {
  return (
    <li>
      <strong>{cause.severity === "blocks-direct" ? "Direct is not possible: " : "Slower than it could be: "}</strong>
      {cause.what} Who can change it: {WHO[cause.side] ?? cause.side}.{" "}
      <span class="quiet">What to do: {cause.fix}.</span>
    </li>
  );
}
