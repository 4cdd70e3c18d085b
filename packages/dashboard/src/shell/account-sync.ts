/** Keeps the user's name and settings the same in all browsers. */
import { effect } from "@preact/signals";
import type { UserAppearance } from "coder-protocol/rest/profile";
import type { User } from "coder-protocol/rest/users";
import { changeAppearance } from "../api/users.ts";
import { follow } from "../live/stream/link.ts";
import { appearanceOf, settingsOf } from "../session/appearance.ts";
import { user } from "../session/session.ts";
import { adoptSettings, changesHere, settings } from "../session/settings.ts";
import { UnsavedChoices } from "./unsaved-choices.ts";

/** Runs until the returned function is called. */
export function startAccountSync(): () => void {
  let font = "";
  const unsaved = new UnsavedChoices(() => changeAppearance(appearanceOf(settings.peek(), font)));
  const leave = follow(
    { topic: "me", args: {} },
    {
      data: (data) => {
        const { user: person, appearance } = data as { user?: User; appearance?: UserAppearance };
        if (person !== undefined) user.value = person;
        if (appearance === undefined) return;
        font = appearance.terminal_font;
        // A choice that has not reached the account takes precedence.
        if (unsaved.mayAdopt()) adoptSettings(settingsOf(appearance));
      },
      error: () => undefined, // an interruption; the next connection reports it again
    },
  );
  const stop = effect(() => {
    if (changesHere.value > 0) unsaved.changed();
  });
  return () => {
    leave();
    stop();
    unsaved.stop();
    changesHere.value = 0;
  };
}
