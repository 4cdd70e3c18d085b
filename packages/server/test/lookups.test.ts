/** Look-ups of many connections share a statement, and each gets its own answer. */
import { expect, test } from "vitest";
import { hashSecret, parseUserToken } from "../src/auth/tokens.ts";
import { addMember, addWorkspace, agentToken, firstUser, startServer } from "./helpers.ts";

/** What the server reads periodically. */
const BY_ITSELF = /^select ("id", "user_id", "expires_at" from "api_keys"|.* from "settings")/;

test("questions that are asked together take one statement of each kind", async () => {
  const queries: string[] = [];
  await using server = await startServer({
    deps: { onQuery: (sql) => void (BY_ITSELF.test(sql) || queries.push(sql)) },
  });
  const { token } = await firstUser(server.url);
  const workspaces = [await addWorkspace(server.url, token, "dev"), await addWorkspace(server.url, token, "other")];
  const agents = workspaces.map((workspace) => workspace.latest_build.resources[0].agents[0].id as string);
  const hashes: string[] = [];
  for (const { id } of workspaces) hashes.push(hashSecret(await agentToken(server.url, token, id)));
  const { lookups } = server.server.parts.store;
  const key = parseUserToken(token)!.id;
  const userId = (await lookups.key(key))!.key.user_id;
  queries.length = 0;

  const [keys, [mine, noUser], [dev, other, none], owned, manifests] = await Promise.all([
    Promise.all([lookups.key(key), lookups.key("unknown")]),
    Promise.all([lookups.user(userId), lookups.user("unknown")]),
    Promise.all([...agents, "unknown"].map((id) => lookups.workspaceOf(id))),
    Promise.all([...hashes, "unknown"].map((hash) => lookups.agentOfToken(hash))),
    Promise.all([...agents, "unknown"].map((id) => lookups.manifest(id))),
  ]);

  expect(keys).toMatchObject([{ key: { id: key }, user: { id: mine!.id } }, undefined]);
  expect([dev, other].map((row) => row?.name)).toEqual(["dev", "other"]);
  expect([dev, other].map((row) => row?.id)).toEqual(workspaces.map(({ id }) => id));
  expect([noUser, none]).toEqual([undefined, undefined]);
  expect(owned.map((found) => found?.agent.id)).toEqual([...agents, undefined]);
  expect(owned.map((found) => found?.workspace.name)).toEqual(["dev", "other", undefined]);
  expect(owned[0]).toMatchObject({ owner: { id: mine!.id }, transition: "start" });
  expect(manifests.map((found) => found?.place?.workspace)).toEqual(["dev", "other", undefined]);
  expect(queries).toHaveLength(5);
});

test("the key of a deleted user is found without its user", async () => {
  await using server = await startServer({});
  const { token } = await firstUser(server.url);
  const other = await addMember(server.url, token, "other");
  const { lookups, users } = server.server.parts.store;
  const known = await lookups.key(parseUserToken(other.token)!.id);
  await users.markDeleted(known!.key.user_id, 1);
  expect(await lookups.key(known!.key.id)).toEqual({ key: known!.key, user: undefined });
  expect(await lookups.user(known!.key.user_id)).toBeUndefined();
});
