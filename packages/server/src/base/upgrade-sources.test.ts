import { describe, expect, it } from "vitest";
import { type CommonSource, UpgradeSources } from "./upgrade-sources.ts";

function recorder(siblings: ReadonlySet<string> = new Set()) {
  const reported: CommonSource[] = [];
  const sources = new UpgradeSources(
    (source) => reported.push(source),
    (address) => siblings.has(address),
  );
  const record = (count: number, address: (i: number) => string, namesClients = false): void => {
    for (let i = 0; i < count; i++) sources.record({ address: address(i), namesClients });
  };
  return { sources, reported, record };
}

describe("sources of upgrades", () => {
  it("says nothing before there are enough", () => {
    const { sources, record } = recorder();
    record(49, () => "10.0.0.1");
    expect(sources.common()).toBeUndefined();
    record(1, () => "10.0.0.1");
    expect(sources.common()).toEqual({ address: "10.0.0.1", namesClients: false });
  });

  it("finds none among many clients, nor at exactly nine of ten", () => {
    const { sources, record } = recorder();
    record(100, (i) => (i % 10 === 0 ? `10.1.0.${i}` : "10.0.0.1"));
    expect(sources.common()).toBeUndefined();
    record(256, (i) => `10.0.${i}.1`);
    expect(sources.common()).toBeUndefined();
  });

  it("leaves out what a sibling's relay dials, also before its address was known", () => {
    const siblings = new Set(["10.0.0.1"]);
    const { sources, reported, record } = recorder(siblings);
    record(300, () => "10.0.0.1");
    record(49, () => "10.0.0.2");
    expect(sources.common()).toBeUndefined();
    record(1, () => "10.0.0.2");
    expect(sources.common()).toEqual({ address: "10.0.0.2", namesClients: false });
    siblings.add("10.0.0.2");
    expect(sources.common()).toBeUndefined();
    expect(reported).toHaveLength(1);
  });

  it("finds a proxy on the machine of a sibling by the header that it sends", () => {
    const { sources, record } = recorder(new Set(["10.0.0.1"]));
    record(50, () => "10.0.0.1", true);
    expect(sources.common()).toEqual({ address: "10.0.0.1", namesClients: true });
  });

  it("reports once, and forgets what is old", () => {
    const { sources, reported, record } = recorder();
    record(300, () => "10.0.0.1", true);
    expect(reported).toEqual([{ address: "10.0.0.1", namesClients: true }]);
    record(256, (i) => `10.0.${i}.2`);
    expect(sources.common()).toBeUndefined();
    record(300, () => "10.0.0.1", true);
    expect(reported).toHaveLength(1);
  });
});
