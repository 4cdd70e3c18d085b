import { expect, test } from "vitest";
import { narrowerLevel, SHARE_LEVELS } from "../base/share-level.ts";
import { NO_CHOICES } from "../db/app-choices.ts";
import { AppDecision, type AppTarget, type Visitor } from "./decision.ts";

const target: AppTarget = {
  workspaceId: "w",
  ownerId: "ada",
  agentId: "a",
  port: 8080,
  secure: false,
  level: "owner",
  shareEndsAt: undefined,
  hostHeader: "preserve",
  ...NO_CHOICES,
  basePath: "",
  query: "",
};
const visitors: Record<string, Visitor | undefined> = {
  owner: { userId: "ada", keyId: "1", role: "member" },
  other: { userId: "bob", keyId: "2", role: "member" },
  admin: { userId: "eve", keyId: "3", role: "owner" },
  anonymous: undefined,
};
const RANK = { owner: 0, organization: 1, authenticated: 1, public: 2 } as const;

const grid = Object.keys(visitors).flatMap((who) =>
  SHARE_LEVELS.flatMap((level) =>
    SHARE_LEVELS.flatMap((maxLevel) =>
      [undefined, 99, 100, 101].map((shareEndsAt) => ({ who, level, maxLevel, shareEndsAt })),
    ),
  ),
);

test.each(grid)("security S12: $who, level $level, at most $maxLevel, share ends at $shareEndsAt of 100", (row) => {
  const { who, level, maxLevel, shareEndsAt } = row;
  const expired = shareEndsAt !== undefined && shareEndsAt <= 100;
  const rank = expired ? 0 : Math.min(RANK[level], RANK[maxLevel]);
  const admitted = rank === 2 || who === "owner" || who === "admin" || (rank === 1 && who === "other");
  const decision = AppDecision.make({ ...target, level, shareEndsAt }, visitors[who], { maxLevel, now: 100 });
  if (admitted) expect(decision).toBeInstanceOf(AppDecision);
  else expect(decision).toBe(who === "anonymous" ? "sign-in" : "not-found");
});

test("an app that does not exist gets the same answer as another user's app", () => {
  const rules = { maxLevel: "public", now: 0 } as const;
  expect(AppDecision.make(undefined, visitors["other"], rules)).toBe("not-found");
  expect(AppDecision.make(undefined, visitors["admin"], rules)).toBe("not-found");
  expect(AppDecision.make(undefined, undefined, rules)).toBe("sign-in");
});

test("a cap narrows and never widens", () => {
  expect(narrowerLevel("public", "authenticated")).toBe("authenticated");
  expect(narrowerLevel("owner", "public")).toBe("owner");
});
