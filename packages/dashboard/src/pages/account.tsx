import { useSignal } from "@preact/signals";
import { passwordProblem } from "coder-protocol/passwords";
import type { JSX } from "preact";
import { changePassword } from "../api/users.ts";
import { isOwner, user } from "../session/session.ts";
import { Field, Form, useWork } from "../ui/form.tsx";
import { SettingsFrame } from "./settings-frame.tsx";

export function Account(): JSX.Element {
  const person = user.value;
  const work = useWork();
  const password = useSignal("");
  const problem = password.value === "" ? undefined : passwordProblem(password.value);
  return (
    <SettingsFrame title="Account">
      <dl class="pairs">
        <dt>User name</dt>
        <dd>{person?.username}</dd>
        <dt>E-mail</dt>
        <dd>{person?.email}</dd>
        <dt>Role</dt>
        <dd>{isOwner.value ? "Owner of the deployment" : "Member"}</dd>
      </dl>
      <h2>Password</h2>
      <p class="quiet">
        A new password logs out every session and revokes every token of yours, this session included.
      </p>
      <Form
        work={work}
        submit="Change the password"
        onSubmit={async ({ old = "" }) => {
          if (problem !== undefined) return;
          await changePassword("me", { old_password: old, password: password.value });
          location.assign("/login");
        }}
      >
        <Field
          label="Current password"
          name="old"
          type="password"
          autocomplete="current-password"
          problem={work.error?.fields["old_password"]}
        />
        <Field
          label="New password"
          name="new"
          type="password"
          autocomplete="new-password"
          hint="At least 8 characters"
          problem={problem === undefined ? work.error?.fields["password"] : `The password ${problem}`}
          onInput={(value) => {
            password.value = value;
          }}
        />
      </Form>
    </SettingsFrame>
  );
}
