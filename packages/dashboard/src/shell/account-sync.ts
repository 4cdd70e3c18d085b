/** Keeps name and settings of the person the same in all their browsers. */
import { effect } from "@preact/signals";
import type { UserAppearance } from "coder-protocol/rest/profile";
import type { User } from "coder-protocol/rest/users";
import { changeAppearance } from "../api/users.ts";
import { follow } from "../live/stream/link.ts";
import { appearanceOf, settingsOf } from "../session/appearance.ts";
import { user } from "../session/session.ts";
import { adoptSettings, changesHere, settings } from "../session/settings.ts";

/** Several choices in a row are stored once. */
const STORE_AFTER_MS = 800;

/** Until the returned function is called. */
export function startAccountSync(): () => void {
  let font = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  const leave = follow(
    { topic: "me", args: {} },
    {
      data: (data) => {
        const { user: person, appearance } = data as { user?: User; appearance?: UserAppearance };
        if (person !== undefined) user.value = person;
        if (appearance === undefined) return;
        font = appearance.terminal_font;
        // A choice that is on its way to the account counts more.
        if (timer === undefined) adoptSettings(settingsOf(appearance));
      },
      error: () => undefined, // an interruption; the next connection tells again
    },
  );
  const stop = effect(() => {
    if (changesHere.value === 0) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = undefined;
      // Kept in this browser in any case, and stored with the next choice.
      changeAppearance(appearanceOf(settings.peek(), font)).catch(() => undefined);
    }, STORE_AFTER_MS);
  });
  return () => {
    leave();
    stop();
    clearTimeout(timer);
    changesHere.value = 0;
  };
}
