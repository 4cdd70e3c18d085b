/** The page of the list of workspaces, which comes with the first of them. */
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import type { DashboardFiles } from "../src/http/dashboard/build-output.ts";
import { addMember, addWorkspace, firstUser, send, startServer } from "./helpers.ts";

const FILES: Readonly<Record<string, string>> = {
  "index.html": "<!doctype html><head><!--head--></head><body></body>",
  "manifest.json": "[]",
  "routes.json": JSON.stringify([{ pattern: "^/(?:workspaces|health)?$", preload: [] }]),
};
const files: DashboardFiles = {
  read: (name) => (Object.hasOwn(FILES, name) ? Buffer.from(FILES[name]!) : undefined),
};

/** The data in the page. */
async function bootOf(url: string, path: string, token?: string) {
  const headers = new Headers({ Accept: "text/html" });
  if (token !== undefined) headers.set(SESSION_TOKEN_HEADER, token);
  const page = await (await fetch(`${url}${path}`, { headers })).text();
  return JSON.parse(/id="boot">([^<]*)</.exec(page)?.[1] ?? "null");
}

const names = (rows: readonly { name: string }[]): string[] => rows.map(({ name }) => name);

test("the page has the first workspaces by name of those that the user may see, and how many there are", async () => {
  await using at = await startServer({ deps: { dashboard: files } });
  const { token } = await firstUser(at.url);
  const bob = await addMember(at.url, token, "bob");
  expect((await bootOf(at.url, "/workspaces", token)).workspaces).toEqual({ rows: [], count: 0 });
  for (const name of ["web", "Api-2", "api"]) await addWorkspace(at.url, token, name);
  const own = await addWorkspace(at.url, bob.token, "own");
  for (const path of ["/", "/workspaces", "/workspaces/"]) {
    const { rows, count } = (await bootOf(at.url, path, token)).workspaces;
    expect([names(rows), count]).toEqual([["api", "Api-2", "own", "web"], 4]);
  }
  expect((await bootOf(at.url, "/workspaces", bob.token)).workspaces).toEqual({
    rows: [
      {
        id: own.id,
        name: "own",
        owner_name: "bob",
        status: "running",
        last_used_at: own.last_used_at,
        agents: [
          expect.objectContaining({ name: "main", status: "connecting", lifecycle_state: "created", path: "none" }),
        ],
      },
    ],
    count: 1,
  });
});

test("a long list is cut, and no other page and no other visitor has one", async () => {
  await using at = await startServer({ deps: { dashboard: files } });
  const { token } = await firstUser(at.url);
  for (let n = 0; n < 40; n++) await addWorkspace(at.url, token, `box-${n}`);
  const { rows, count } = (await bootOf(at.url, "/workspaces", token)).workspaces;
  expect([rows.length, names(rows).slice(0, 3), count]).toEqual([30, ["box-0", "box-1", "box-10"], 40]);
  await send(at.url, "POST", `/api/v2/workspaces/${rows[0].id}/builds`, { token, body: { transition: "delete" } });
  const after = (await bootOf(at.url, "/workspaces", token)).workspaces;
  expect([names(after.rows)[0], after.count]).toEqual(["box-1", 39]);
  for (const path of ["/workspaces?filter=box", "/health"])
    expect([path, (await bootOf(at.url, path, token)).workspaces]).toEqual([path, undefined]);
  expect(await bootOf(at.url, "/workspaces")).toMatchObject({ user: null });
  expect((await bootOf(at.url, "/workspaces")).workspaces).toBeUndefined();
});
