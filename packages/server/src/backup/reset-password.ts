import { existsSync } from "node:fs";
import { join } from "node:path";
import { newPassword } from "coder-protocol/rest/users";
import { Passwords } from "../auth/passwords.ts";
import { ServerError } from "../base/errors.ts";
import { Store } from "../db/store.ts";

/**
 * Sets a user's password in the store itself, for when no owner can log in any more. The user's sessions and tokens
 * end; a server that runs closes within seconds what rests on them. Throws ServerError.
 * @param password Asked for once the user is known.
 */
export async function resetPassword(
  stateDir: string,
  username: string,
  password: () => Promise<string>,
): Promise<void> {
  const path = join(stateDir, "coder.db");
  if (!existsSync(path)) {
    throw new ServerError("ERR_STATE_DIR", `There is no deployment in "${stateDir}"`, {
      why: "it holds no coder.db",
      nextSteps: ["run this on the server's machine as its user, with the server's own --state-dir"],
    });
  }
  const store = await Store.open(path, Date.now());
  try {
    const user = await store.users.byUsername(username);
    if (user === undefined) {
      throw new ServerError("ERR_CONFIG", `There is no user "${username}" in this deployment`, {
        nextSteps: ["give the user name, not the email address"],
      });
    }
    const checked = newPassword.safeParse(await password());
    if (!checked.success) {
      throw new ServerError("ERR_CONFIG", "The password was not changed", {
        why: `a password ${checked.error.issues[0]!.message}`,
      });
    }
    const hash = await new Passwords().hash(checked.data);
    await store.transaction(async ({ users, apiKeys }) => {
      await users.setPassword(user.id, hash, Date.now());
      await apiKeys.expireAllOf(user.id, Date.now());
    });
  } finally {
    await store.close();
  }
}
