import { useSignal } from "@preact/signals";
import { passwordProblem } from "coder-protocol/passwords";
import type { JSX } from "preact";
import { changePassword, changeProfile } from "../api/users.ts";
import { isOwner, user } from "../session/session.ts";
import { Field, Form, useWork } from "../ui/form.tsx";
import { SettingsFrame } from "./settings-frame.tsx";

function Profile(): JSX.Element {
  const person = user.value;
  const work = useWork();
  const saved = useSignal(false);
  return (
    <>
      <h2>Profile</h2>
      <Form
        work={work}
        submit="Save"
        onSubmit={async ({ username = "", name = "" }) => {
          saved.value = false;
          user.value = await changeProfile({ username, name });
          saved.value = true;
        }}
      >
        <Field
          label="User name"
          name="username"
          value={person?.username ?? ""}
          maxLength={32}
          hint="Links to your workspaces and names in SSH contain it: if you change it, the old ones stop working"
          problem={work.error?.fields["username"]}
        />
        <Field
          label="Full name"
          name="name"
          value={person?.name ?? ""}
          required={false}
          maxLength={128}
          problem={work.error?.fields["name"]}
        />
      </Form>
      {saved.value ? <p role="status">Saved.</p> : null}
    </>
  );
}

export function Account(): JSX.Element {
  const person = user.value;
  const work = useWork();
  const password = useSignal("");
  const problem = password.value === "" ? undefined : passwordProblem(password.value);
  return (
    <SettingsFrame title="Account">
      <dl class="pairs">
        <dt>E-mail</dt>
        <dd>{person?.email}</dd>
        <dt>Role</dt>
        <dd>{isOwner.value ? "Owner of the deployment" : "Member"}</dd>
      </dl>
      <Profile />
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
