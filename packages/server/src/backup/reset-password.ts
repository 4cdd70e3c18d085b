import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { newPassword } from "coder-protocol/rest/users";
import { offlineEvent } from "../auth/offline-audit.ts";
import { Passwords } from "../auth/passwords.ts";
import { ServerError } from "../base/errors.ts";
import { createLogger } from "../base/log.ts";
import { openBackend, type StorePlace } from "../db/open-backend.ts";
import { Store } from "../db/store.ts";

/**
 * Sets a user's password directly in the store, for when no owner can log in any more. The user's sessions and tokens end; a
 * running server closes what depends on them within seconds. The server records the change in its audit, at once or at its next
 * start. Throws ServerError.
 * @param password Called once the user is known.
 */
export async function resetPassword(
  place: StorePlace,
  username: string,
  password: () => Promise<string>,
): Promise<void> {
  if ("file" in place && !existsSync(place.file)) {
    throw new ServerError("ERR_STATE_DIR", `There is no deployment in "${dirname(place.file)}"`, {
      why: "it holds no coder.db",
      nextSteps: [
        "run this on the server's machine as its user, with the server's own --state-dir",
        "or name the server's PostgreSQL database with --postgres-url-file",
      ],
    });
  }
  const log = createLogger({ sink: process.stderr, level: "warn", format: "human" });
  const backend = await openBackend(place, { applicationName: "coder reset-password", log });
  const store = await Store.on(backend, Date.now());
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
    const now = Date.now();
    await store.transaction(async ({ users, apiKeys, pendingAudit }) => {
      await users.setPassword(user.id, hash, now);
      await apiKeys.expireAllOf(user.id, now);
      const event = offlineEvent({ action: "password-reset", target: { id: user.id, username: user.username } }, now);
      await pendingAudit.add(event.key, event.value);
    });
  } finally {
    await store.close();
  }
}
