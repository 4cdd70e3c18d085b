/** A session on a direct path, and what happens when the path changes below it. */
import { describe, expect, it } from "vitest";
import { bothDirect, Sites, Ticker } from "./sites.ts";

const REGION = 1;

describe("a session", () => {
  const session = (seed: number, from: "client" | "agent" = "client") => {
    const sites = new Sites(seed);
    const a = sites.node(sites.add("home"));
    const b = sites.node(sites.add("home"));
    const { net } = sites;
    net.run(500);
    net.introduce(a, b);
    const ticker = from === "client" ? new Ticker(net, a, b) : new Ticker(net, b, a);
    expect(net.run(5_000, () => bothDirect(a, b))).toBe(true);
    net.run(2_000);
    ticker.resetGap();
    return { sites, net, a, b, ticker };
  };

  it("continues by relay within 3 s when UDP stops, and returns", () => {
    for (const phase of [0, 200, 400, 600, 800]) {
      const { sites, net, a, b, ticker } = session(12);
      net.run(phase);
      const router = sites.sites[0]!.router!;
      router.options = { ...router.options, udpBlocked: true };
      net.run(5_000);
      expect(ticker.longestGapMs).toBeLessThan(3_000);
      expect([a.pathTo(b), b.pathTo(a)]).toEqual([`relay ${REGION}`, `relay ${REGION}`]);
      router.options = { ...router.options, udpBlocked: false };
      ticker.resetGap();
      expect(net.run(15_000, () => bothDirect(a, b))).toBe(true);
      expect(ticker.longestGapMs).toBeLessThan(200);
      expect(ticker.intact).toBe(true);
    }
  });

  it("continues when only one direction of the path fails", () => {
    const { sites, net, a, b, ticker } = session(17);
    // Packets towards b vanish on its access line; b's own still get out.
    sites.sites[1]!.lan.options = { delayMs: 0.2, loss: 0 };
    sites.sites[1]!.router!.outside.detach(sites.sites[1]!.router!.outsideAddress);
    net.run(5_000);
    expect(ticker.longestGapMs).toBeLessThan(3_000);
    expect(a.pathTo(b)).toBe(`relay ${REGION}`);
    expect(ticker.intact).toBe(true);
  });

  it("survives a router that lost its mappings", () => {
    const { sites, net, a, b, ticker } = session(13);
    const router = sites.sites[0]!.router!;
    router.options = { ...router.options, ports: "random" };
    router.flush();
    net.run(5_000);
    expect(ticker.longestGapMs).toBeLessThan(3_000);
    expect(net.run(30_000, () => bothDirect(a, b))).toBe(true);
    expect(ticker.intact).toBe(true);
  });

  it.each(["client", "agent"] as const)("follows the client to another network within 2 s, the %s sending", (from) => {
    const { sites, net, a, b, ticker } = session(14, from);
    const elsewhere = sites.add("home");
    a.host.move(elsewhere.lan, elsewhere.newAddresses());
    a.networkChanged();
    net.run(5_000);
    expect(ticker.longestGapMs).toBeLessThan(2_000);
    expect(net.run(10_000, () => bothDirect(a, b))).toBe(true);
    expect(ticker.intact).toBe(true);
  });

  it.each([90_000, 600_000])("continues within 2 s after the client slept for %d ms", (asleepMs) => {
    const { net, a, b, ticker } = session(15, "agent");
    a.host.frozen = true;
    net.run(asleepMs);
    a.host.frozen = false;
    ticker.resetGap();
    net.run(4_000);
    expect(ticker.longestGapMs).toBeLessThan(2_000);
    expect(net.run(15_000, () => bothDirect(a, b))).toBe(true);
    expect(ticker.intact).toBe(true);
  });

  it("is not affected by the loss of the relay while the path is direct", () => {
    const { net, a, b, ticker } = session(16);
    net.relaysDown.add(REGION);
    net.run(30_000);
    expect(ticker.longestGapMs).toBeLessThan(200);
    expect(bothDirect(a, b)).toBe(true);
  });

  it("keeps a quiet path for as long as it is needed, and finds it again after a pause", () => {
    const { net, a, b, ticker } = session(18);
    ticker.stop();
    net.run(10 * 60_000);
    const again = new Ticker(net, a, b, 98);
    net.run(3_000);
    expect(again.longestGapMs).toBeLessThan(500);
    expect(bothDirect(a, b)).toBe(true);
  });
});
