/** What a grant of a workspace proxy is for, as the store keeps it. */
import { z } from "zod";
import { parsedJson } from "../base/parsed-json.ts";

/** Behind the prefix of a label; see label.ts. */
const PREFIX_END = "---";

const proxyApp = z.discriminatedUnion("method", [
  z.object({ method: z.literal("terminal") }),
  /** The label of the host below the proxy's wildcard; stored without its prefix, which decides nothing. */
  z.object({ method: z.literal("subdomain"), label: z.string() }),
  z.object({
    method: z.literal("path"),
    owner: z.string(),
    workspace: z.string(),
    /** "": the agent that has the app. */
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

/** Undefined: another release wrote it. */
export function readProxyApp(text: string): ProxyApp | undefined {
  const parsed = proxyApp.safeParse(parsedJson(text));
  return parsed.success ? parsed.data : undefined;
}
