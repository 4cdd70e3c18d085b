import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ABSENCE_MS, PagePresence } from "./page-presence.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function watched() {
  const presence = new PagePresence();
  const seen = { absent: false };
  void presence.absent.then(() => {
    seen.absent = true;
  });
  const after = async (ms: number): Promise<boolean> => {
    await vi.advanceTimersByTimeAsync(ms);
    return seen.absent;
  };
  return { presence, after };
}

it("ends after ten minutes without a page, also when none ever came", async () => {
  const { after } = watched();
  expect(await after(ABSENCE_MS - 1)).toBe(false);
  expect(await after(1)).toBe(true);
});

it("counts from the last request", async () => {
  const { presence, after } = watched();
  await after(ABSENCE_MS - 1);
  presence.seen();
  expect(await after(ABSENCE_MS - 1)).toBe(false);
  expect(await after(1)).toBe(true);
});

it("never ends while a terminal is open, and counts from the close of the last one", async () => {
  const { presence, after } = watched();
  const closes = [presence.opened(), presence.opened()];
  expect(await after(10 * ABSENCE_MS)).toBe(false);
  closes[0]!();
  closes[0]!(); // a socket closes once
  expect(await after(10 * ABSENCE_MS)).toBe(false);
  closes[1]!();
  expect(await after(ABSENCE_MS - 1)).toBe(false);
  expect(await after(1)).toBe(true);
});

it("leaves no timer behind", () => {
  new PagePresence().stop();
  expect(vi.getTimerCount()).toBe(0);
});
