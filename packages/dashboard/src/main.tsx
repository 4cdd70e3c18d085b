import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/pages.css";
import { computed, effect } from "@preact/signals";
import { render } from "preact";
import { ApiError, loginEnded, serverVersion } from "./api/client.ts";
import { ownUser } from "./api/users.ts";
import { App } from "./app.tsx";
import { readBoot, readNonce } from "./base/boot.ts";
import { stampStyles } from "./base/stamp-styles.ts";
import { keepFirstRows } from "./live/first-rows.ts";
import { startLink, watchTabLife } from "./live/stream/link.ts";
import { navigate, startRouting } from "./router/location.ts";
import { loginAddress } from "./router/login-address.ts";
import { matchRoute } from "./router/routes.ts";
import { settingsOf } from "./session/appearance.ts";
import { startClock } from "./session/clock.ts";
import { localPage, ready, user } from "./session/session.ts";
import { adoptSettings, loadSettings } from "./session/settings.ts";
import { startAccountSync } from "./shell/account-sync.ts";

/** Stays the same when users change their name. */
const userId = computed(() => user.value?.id);

/** Called after the server ended the stream, because the role may have changed. */
async function loginHolds(): Promise<boolean> {
  try {
    user.value = await ownUser();
    return true;
  } catch (error) {
    // A 401 leads to the login page; after any other failure the next connection tries again.
    return error instanceof ApiError && error.status !== 401;
  }
}

stampStyles(readNonce());
const boot = readBoot();
user.value = boot.user;
ready.value = boot.ready;
serverVersion.value = boot.version;
keepFirstRows(boot.workspaces);
loadSettings();
startClock();
startRouting((path) => matchRoute(path) !== undefined);
if (boot.local === undefined) {
  effect(() => {
    if (loginEnded.value === 0) return;
    user.value = null;
    const here = matchRoute(location.pathname);
    if (here?.route.open !== true) navigate(loginAddress(location), { replace: true });
  });
  watchTabLife();
  effect(() => {
    const id = userId.value;
    if (id === undefined) return undefined;
    void startLink(id, loginHolds);
    return startAccountSync();
  });
} else {
  // The command that serves the page has no stream: what the page shows is requested from time to time.
  localPage.value = boot.local;
  if (boot.local.appearance !== null) adoptSettings(settingsOf(boot.local.appearance));
}
render(<App loadedVersion={boot.version} />, document.getElementById("app") ?? document.body);
