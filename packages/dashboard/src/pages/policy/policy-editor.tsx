import { useSignal } from "@preact/signals";
import type { ConnectionPolicy } from "coder-protocol/rest/connection-policy";
import type { JSX } from "preact";
import { deploymentOptions } from "../../api/deployment.ts";
import { useResource } from "../../live/resource.ts";
import { useWork } from "../../ui/form.tsx";
import { Problem } from "../../ui/problem.tsx";
import { deploymentRule, optionOf, type PolicyOption } from "./policy-words.ts";

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
  const work = useWork();
  const present = optionOf(options, policy);
  const chosen = useSignal<ConnectionPolicy | undefined>(undefined);
  const settings = useResource("deployment-options", { load: deploymentOptions }).data.value?.options;
  const rule = deploymentRule(settings?.find(({ flag }) => flag === "browser-only")?.value);
  return (
    <section>
      <h2>Connections</h2>
      {rule === undefined ? null : <p class="quiet">{rule}</p>}
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
