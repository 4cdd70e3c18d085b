import { type AppWords, parseAppText } from "../base/app-text.ts";
import { UsageError } from "../errors/usage-error.ts";
import type { FlagValues } from "./kinds.ts";
import { choice, exactText, text } from "./kinds.ts";

export const SHARE_LEVELS = ["owner", "organization", "authenticated", "public"] as const;

/** The properties of an app. */
export const APP_FLAGS = {
  "app-url": text({
    helpValue: "<url>",
    summary: "Where the program listens, such as http://127.0.0.1:8080/?folder=/home/dev",
  }),
  name: exactText({ helpValue: "<text>", summary: "Its display name" }),
  icon: exactText({ helpValue: "<icon>", summary: "Its icon: /icon/NAME.svg, or a data: URL" }),
  share: choice({ options: SHARE_LEVELS, summary: "Who besides the owner may use it" }),
  health: exactText({
    helpValue: "<path>",
    summary: "Path or address that the agent requests to check its health; empty for no check",
  }),
  command: text({
    helpValue: "<command>",
    summary: "A command for the web terminal, instead of a program that listens",
  }),
  group: exactText({ helpValue: "<text>", summary: "Apps of one group are shown together" }),
  "host-header": choice({
    options: ["preserve", "localhost"] as const,
    summary: "The Host header that the program gets: its public name, or localhost",
  }),
};

/** The values of the flags, from which `appBody` (base/app-text) makes the fields of a request. */
export function appWords(flags: FlagValues<typeof APP_FLAGS>): AppWords {
  const { name, icon, share, health, command, group } = flags;
  return { url: flags["app-url"], name, icon, share, health, command, group, hostHeader: flags["host-header"] };
}

/** Parses the values of `--app`. Throws UsageError. */
export function appsOf(texts: readonly string[] | undefined): Record<string, unknown>[] {
  return (texts ?? []).map((given) => {
    const app = parseAppText(given);
    if (typeof app["error"] === "string") throw new UsageError(`--app ${app["error"]}`);
    return app as Record<string, unknown>;
  });
}
