import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { createToken, ownTokens, tokenLimits } from "../api/users.ts";
import { useResource } from "../live/resource.ts";
import { CommandLine } from "../ui/copy.tsx";
import { Field, Form, useWork } from "../ui/form.tsx";
import { Problem } from "../ui/problem.tsx";
import { KeyTable } from "./key-table.tsx";
import { SettingsFrame } from "./settings-frame.tsx";

const DAY_NS = 86_400e9;
const LIFETIMES = [
  [7, "A week"],
  [30, "A month"],
  [90, "Three months"],
  [365, "A year"],
] as const;

/** Tokens for programs. */
export function Tokens(): JSX.Element {
  const { data, error, reload } = useResource("tokens", { load: ownTokens });
  const longest = useResource("token-limits", { load: tokenLimits }).data.value?.max_token_lifetime;
  const work = useWork();
  const made = useSignal<string | undefined>(undefined);
  const tokens = data.value ?? [];
  return (
    <SettingsFrame title="Tokens">
      <p class="quiet">A token lets a program act as you.</p>
      <Form
        work={work}
        submit="Create a token"
        onSubmit={async ({ name = "", days = "7", scope = "all" }, form) => {
          const request = { token_name: name, lifetime: Number(days) * DAY_NS };
          const limited = scope === "application_connect" ? "application_connect" : "all";
          made.value = (await createToken({ ...request, scope: limited })).key;
          form.reset();
          reload();
        }}
      >
        <div class="row">
          <Field label="Name" name="name" maxLength={64} problem={work.error?.fields["token_name"]} />
          <div class="field">
            <label for="days">Valid for</label>
            <select id="days" name="days">
              {LIFETIMES.filter(([days]) => longest === undefined || days * DAY_NS <= longest).map(([days, label]) => (
                <option key={days} value={days}>
                  {label}
                </option>
              ))}
            </select>
          </div>
          <div class="field">
            <label for="scope">May</label>
            <select id="scope" name="scope">
              <option value="all">Do everything that you can</option>
              <option value="application_connect">Only use web apps</option>
            </select>
          </div>
        </div>
      </Form>
      {made.value === undefined ? null : (
        <div class="notice" role="status">
          <p>The token is shown only once:</p>
          <CommandLine text={made.value} label="The new token" secret />
        </div>
      )}
      {error.value === undefined ? null : <Problem error={error.value} retry={reload} />}
      <KeyTable
        keys={tokens}
        columns={{ name: "Name", created: "Created" }}
        nameOf={(token) => (token.scope === "all" ? token.token_name : `${token.token_name} (web apps only)`)}
        remove={{ label: "Revoke", labelOf: (token) => `Revoke ${token.token_name}` }}
        work={work}
        onRemoved={reload}
      />
    </SettingsFrame>
  );
}
