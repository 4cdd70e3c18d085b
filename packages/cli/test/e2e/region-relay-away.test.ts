/** What replaces a region that the user chose while its relay is away. */
import { once } from "node:events";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { eventually, NearRegion, PING, RELAYED } from "./near-region.ts";

let region: NearRegion;

beforeAll(async () => {
  region = await NearRegion.start();
}, 90_000);

afterAll(async () => {
  await region?.deployment.close();
});

it("a start with a region whose relay is away goes on by the automatic choice, with a line that states so", async () => {
  const { deployment, proxy } = region;
  const open = deployment.spawn(["ssh", "--region", "near", "demo", "--", "cat"], RELAYED);
  let text = "";
  for (const stream of [open.stdout!, open.stderr!])
    stream.on("data", (chunk) => {
      text += String(chunk);
    });
  open.stdin!.write("before\n");
  await vi.waitFor(() => expect(text).toBe("before\n"), eventually);
  proxy.kill("SIGKILL");
  await once(proxy, "exit");
  const using = 'using region "Coder Embedded Relay", chosen automatically';
  const killed = await deployment.run([...PING, "--region", "near"], { environment: RELAYED });
  expect(killed.code, killed.stderr).toBe(0);
  expect(killed.stdout).toContain("proxied via DERP(Coder Embedded Relay)");
  expect(killed.stderr.match(/^warning: .*$/gm)).toEqual([
    `warning: the relay of region "near" does not answer: ${using}`,
  ]);
  // An open session continues without a message in its output.
  open.stdin!.end("after\n");
  expect((await once(open, "close"))[0]).toBe(0);
  expect(text).toBe("before\nafter\n");
  // A new token removes the region from the map at once; its name stays known.
  await region.wsproxy("regenerate-token", "near");
  expect(await region.inTheMap()).toBe(false);
  const gone = await deployment.run(["ssh", "--region", "near", "demo", "--", "echo", "there"], {
    environment: RELAYED,
  });
  expect(gone).toMatchObject({ code: 0, stdout: "there\n" });
  expect(gone.stderr).toBe(`warning: the relay of region "near" is not in the relay map at present: ${using}\n`);
  await region.wsproxy("delete", "near", "--yes");
  expect((await deployment.run([...PING, "--region", "near"], { environment: RELAYED })).code).toBe(2);
}, 60_000);
