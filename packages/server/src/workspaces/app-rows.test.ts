import { expect, test } from "vitest";
import type { AppRow } from "../db/schema.ts";
import { appRow, changedAppRow, differs, parsed, pendingLevel, planAgentApps } from "./app-rows.ts";

const origin = { agentId: "agent", workspaceId: "workspace", now: 1 };
const url = "http://127.0.0.1:8080";

function plan(asked: unknown[], present: readonly AppRow[] = []) {
  return planAgentApps(asked, present, origin);
}

test("only the owner may use an agent's app until its level is approved", () => {
  const [row] = plan([{ slug: "web", url, sharing_level: "public" }]).kept;
  expect([row!.level, pendingLevel(row!)]).toEqual(["owner", "public"]);
});

test("security S12: an approval holds for its slug at its address", () => {
  const [row] = plan([{ slug: "web", url, sharing_level: "authenticated" }]).kept;
  const approved = changedAppRow(row!, { sharing_level: "authenticated", url }, 2);
  const again = (app: object) => plan([{ slug: "web", url, ...app }], [approved]).kept[0]!;
  expect([approved.level, pendingLevel(approved)]).toEqual(["authenticated", undefined]);
  expect(again({ sharing_level: "authenticated" })).toMatchObject({ id: row!.id, level: "authenticated" });
  expect(again({ sharing_level: "owner" }).level).toBe("owner");
  expect(again({ sharing_level: "public" })).toMatchObject({ level: "authenticated", requested_level: "public" });
  expect(again({ sharing_level: "authenticated", url: "http://127.0.0.1:9090" }).level).toBe("owner");
  expect(again({ sharing_level: "authenticated", url: `${url}/` }).level).toBe("owner");
  expect(plan([{ slug: "other", url, sharing_level: "authenticated" }], [approved]).kept[0]!.level).toBe("owner");
});

test("declarations that an agent may not make are left out, each with its reason", () => {
  const { kept, ignored } = plan(
    [
      { slug: "web", url },
      { slug: "web", url },
      { slug: "server", url },
      { slug: "out", url: "https://example.com", external: true },
      { slug: "8080", url },
      { slug: "far", url: "http://10.0.0.1" },
      { slug: "icon", url, icon: "https://evil.example/x.svg" },
      { slug: "empty" },
      { slug: "both", url, command: "htop" },
      "text",
      null,
      { slug: "top", command: "htop" },
    ],
    [appRow(parsed({ slug: "server", url }), 0, origin)],
  );
  expect(kept.map(({ slug }) => slug)).toEqual(["web", "top"]);
  expect(ignored.map(({ slug }) => slug)).toEqual([
    "web",
    "server",
    "out",
    "8080",
    "far",
    "icon",
    "empty",
    "both",
    "",
    "",
  ]);
  for (const { reason } of ignored) expect(reason.length).toBeGreaterThan(5);
});

test("an agent has at most 64 apps, its owner's included", () => {
  const server = appRow(parsed({ slug: "server", url }), 0, origin);
  const asked = Array.from({ length: 70 }, (_, n) => ({ slug: `app${n}`, url }));
  const { kept, ignored } = plan(asked, [server]);
  expect([kept.length, ignored.length]).toEqual([63, 7]);
});

test("an app that is declared again unchanged keeps its row", () => {
  const asked = [{ slug: "web", url, healthcheck: { url: `${url}/up`, interval: 5, threshold: 2 } }];
  const [row] = plan(asked).kept;
  const healthy: AppRow = { ...row!, health: "healthy" };
  const [again] = planAgentApps(asked, [healthy], { ...origin, now: 9 }).kept;
  expect(differs(healthy, again!)).toBe(false);
  const [moved] = plan(
    [{ ...asked[0], healthcheck: { url: `${url}/other`, interval: 5, threshold: 2 } }],
    [healthy],
  ).kept;
  expect([differs(healthy, moved!), moved!.health]).toEqual([true, "initializing"]);
});

test("a change is checked as a whole", () => {
  const row = appRow(parsed({ slug: "web", url }), 0, origin);
  expect(changedAppRow(row, { display_name: "Web" }, 2)).toMatchObject({ display_name: "Web", url, updated_at: 2 });
  expect(() => changedAppRow(row, { command: "htop" }, 2)).toThrow("Validation failed.");
  expect(() => changedAppRow(row, { url: "http://10.0.0.1" }, 2)).toThrow("Validation failed.");
});
