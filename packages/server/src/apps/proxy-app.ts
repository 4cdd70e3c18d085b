/** What a workspace proxy's grant is for, in the form kept in the store. */
import { z } from "zod";
import { parsedJson } from "../base/parsed-json.ts";

/** Ends the prefix of a label; see label.ts. */
const PREFIX_END = "---";

const proxyApp = z.discriminatedUnion("method", [
  z.object({ method: z.literal("terminal") }),
  /** The label of the host below the proxy's wildcard. It is stored without its prefix, which does not affect access. */
  z.object({ method: z.literal("subdomain"), label: z.string() }),
  z.object({
    method: z.literal("path"),
    owner: z.string(),
    workspace: z.string(),
    /** "": whichever agent has the app. */
    agent: z.string(),
    slug: z.string(),
  }),
]);
export type ProxyApp = z.infer<typeof proxyApp>;

export function proxyAppText(app: ProxyApp): string {
  if (app.method !== "subdomain") return JSON.stringify(app);
  const prefixEnd = app.label.lastIndexOf(PREFIX_END);
  const label = prefixEnd < 0 ? app.label : app.label.slice(prefixEnd + PREFIX_END.length);
  return JSON.stringify({ ...app, label });
}

/** Undefined if another release wrote it in a form that this one does not know. */
export function readProxyApp(text: string): ProxyApp | undefined {
  const parsed = proxyApp.safeParse(parsedJson(text));
  return parsed.success ? parsed.data : undefined;
}
