/** The speed test through real processes, on the direct path and through the relay. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("the speed test of a workspace", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    await deployment.createWorkspace("empty");
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
  });

  it("measures a download on the direct path, as a table, with the packets written for Wireshark", async () => {
    const pcap = join(deployment.folder, "test.pcap");
    const test = await deployment.run(["speedtest", "-d", "-t", "1s", "--pcap-file", pcap, "demo"]);
    expect(test.stderr).toMatch(
      /^(Waiting for a direct connection\.\.\. \(\d+ms via Coder Embedded Relay\)\n)*\d+ms via direct\nStarting a 1s download test…\n(warning: .*too slow\n)?$/,
    );
    expect(test.code).toBe(0);
    const lines = test.stdout.split("\n");
    expect(lines[0]).toMatch(/^INTERVAL +THROUGHPUT$/);
    expect(lines[1]).toMatch(/^0\.00-1\.\d\d sec {2}\d+\.\d{4} Mbits\/sec$/);
    expect(lines.at(-3)).toMatch(/^-+$/);
    expect(lines.at(-2)).toMatch(/^0\.00-1\.\d\d sec {2}\d+\.\d{4} Mbits\/sec$/);
    expect(Number(/sec {2}(\S+)/.exec(lines.at(-2)!)![1])).toBeGreaterThan(1);
    const packets = readCapture(readFileSync(pcap));
    expect(packets.length).toBeGreaterThan(100);
    expect(packets.every((packet) => packet[0]! >> 4 === 6 && packet.readUInt16BE(4) === packet.length - 40)).toBe(
      true,
    );
    const tcp = packets.filter((packet) => packet[6] === 6);
    const [sent, received] = [42, 40].map((at) => tcp.filter((packet) => packet.readUInt16BE(at) === 3).length);
    expect(sent).toBeGreaterThan(10);
    expect(received).toBeGreaterThan(100);
    expect(tcp.some((packet) => packet.includes('{"version":2,"time":1000000000,"direction":0}'))).toBe(true);
  });

  it("measures an upload through the relay, as JSON", async () => {
    const test = await deployment.run([
      ...["speedtest", "demo", "--direction", "up", "-t", "1s", "-o", "json", "--disable-direct-connections"],
    ]);
    expect(test.code).toBe(0);
    expect(test.stderr).toMatch(/^\d+ms via Coder Embedded Relay\nStarting a 1s upload test…\n$/);
    const { overall, intervals } = JSON.parse(test.stdout);
    expect(overall.start_time_seconds).toBe(0);
    expect(overall.end_time_seconds).toBeGreaterThanOrEqual(1);
    expect(overall.throughput_mbits).toBeGreaterThan(0.1);
    expect(intervals.at(-1).end_time_seconds).toBeLessThanOrEqual(overall.end_time_seconds);
  });

  it("reports what it does not support", async () => {
    const both = await deployment.run(["speedtest", "-d", "--disable-direct-connections", "demo"]);
    expect(both.code).toBe(2);
    expect(both.stderr).toContain("--direct and --disable-direct-connections exclude each other");
    const long = await deployment.run(["speedtest", "-t", "5m", "demo"]);
    expect(long.code).toBe(2);
    expect(long.stderr).toContain("--time is 300 seconds; it takes 1 to 30 seconds");
    const column = await deployment.run(["speedtest", "-c", "latency", "demo"]);
    expect(column.stderr).toContain("the columns are: Interval, Throughput");
    const file = await deployment.run(["speedtest", "--pcap-file", join(deployment.folder, "no/x.pcap"), "demo"]);
    expect(file.stderr).toContain("cannot be written: ENOENT");
    const empty = await deployment.run(["speedtest", "--connect-timeout", "1s", "empty"]);
    expect(empty.code).toBe(1);
    expect(empty.stdout).toBe("");
  });
});

it("does not wait for a direct connection where the deployment allows none", async () => {
  const deployment = await TestDeployment.start(async (port) => ({
    url: `http://127.0.0.1:${port}`,
    environment: { CODER_BLOCK_DIRECT: "true" },
  }));
  try {
    deployment.startAgent(await deployment.createWorkspace("demo"));
    const test = await deployment.run(["speedtest", "--direct", "demo"]);
    expect(test.code).toBe(1);
    expect(test.stdout).toBe("");
    expect(test.stderr).toContain("the deployment allows no direct connections   (ERR_DIRECT_DISABLED)");
  } finally {
    await deployment.close();
  }
});

function readCapture(file: Buffer): Buffer[] {
  expect(file.subarray(0, 4).toString("hex")).toBe("d4c3b2a1");
  expect(file.readUInt32LE(20)).toBe(101);
  const packets: Buffer[] = [];
  for (let at = 24; at < file.length; ) {
    const length = file.readUInt32LE(at + 8);
    packets.push(file.subarray(at + 16, at + 16 + length));
    at += 16 + length;
  }
  return packets;
}
