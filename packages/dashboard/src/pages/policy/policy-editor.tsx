import { useSignal } from "@preact/signals";
import type { BrowserOnlyRule, ConnectionPolicy } from "coder-protocol/rest/connection-policy";
import type { JSX } from "preact";
import { deploymentPolicy, setDeploymentPolicy } from "../../api/connection-policies.ts";
import { useResource } from "../../live/resource.ts";
import { useWork } from "../../ui/form.tsx";
import { Problem } from "../../ui/problem.tsx";
import { DEPLOYMENT_RULES, deploymentRule, optionOf, type PolicyOption, startedWithRule } from "./policy-words.ts";

/** Which clients may connect to a workspace, or for a user. Only for owners of the deployment. */
export function PolicyEditor({
  options,
  policy,
  onSave,
}: {
  readonly options: readonly PolicyOption[];
  readonly policy: ConnectionPolicy | undefined;
  readonly onSave: (policy: ConnectionPolicy) => Promise<void>;
}): JSX.Element {
  const deployment = useDeploymentPolicy().data.value;
  const note = deployment === undefined ? undefined : deploymentRule(deployment.browser_only);
  return <PolicyChoice options={options} present={optionOf(options, policy)} note={note} onSave={onSave} />;
}

/** Which workspaces are left to browsers in the whole deployment; for its owners. */
export function DeploymentPolicyEditor(): JSX.Element | null {
  const { data, error, reload } = useDeploymentPolicy();
  const policy = data.value;
  if (policy === undefined) return error.value === undefined ? null : <Problem error={error.value} retry={reload} />;
  return (
    <PolicyChoice<BrowserOnlyRule>
      options={DEPLOYMENT_RULES}
      present={policy.set}
      note={startedWithRule(policy.started_with)}
      onSave={async (rule) => {
        await setDeploymentPolicy(rule);
        reload();
      }}
    />
  );
}

function useDeploymentPolicy() {
  return useResource("deployment-policy", { load: deploymentPolicy });
}

function PolicyChoice<Policy extends string>({
  options,
  present,
  note,
  onSave,
}: {
  readonly options: readonly PolicyOption<Policy>[];
  readonly present: Policy;
  readonly note: string | undefined;
  readonly onSave: (policy: Policy) => Promise<void>;
}): JSX.Element {
  const work = useWork();
  const chosen = useSignal<Policy | undefined>(undefined);
  return (
    <section>
      <h2>Connections</h2>
      {note === undefined ? null : <p class="quiet">{note}</p>}
      <fieldset class="choice lines">
        <legend class="hidden">Clients that may connect</legend>
        {options.map((option) => (
          <label key={option.policy}>
            <input
              type="radio"
              name="connection-policy"
              checked={(chosen.value ?? present) === option.policy}
              onChange={() => {
                chosen.value = option.policy;
              }}
            />
            <span>
              {option.label}
              <span class="quiet small-text about">{option.about}</span>
            </span>
          </label>
        ))}
      </fieldset>
      {work.error === undefined ? null : <Problem error={work.error} />}
      <button
        type="button"
        class="button"
        disabled={work.running || chosen.value === undefined || chosen.value === present}
        onClick={() =>
          work.run(async () => {
            await onSave(chosen.value ?? present);
            chosen.value = undefined;
          })
        }
      >
        {work.running ? "One moment…" : "Save"}
      </button>
    </section>
  );
}
